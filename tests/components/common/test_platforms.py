"""What is asked of a platform stands in its description, and its name in no other place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kfp_llm_tuning.components.common.platforms import (
    JOB_PLATFORM_NAMES,
    LOCAL,
    PLATFORM_NAMES,
    PLATFORMS,
    PlatformTraits,
    platform_named,
)

ROOT = Path(__file__).parents[3]
# A comparison with a name: `== "vertex"`, `!= KUBEFLOW.name`, `in ("local", ...)`.
_COMPARED = re.compile(
    r"""(?:==|!=|\bin \(?)\s*(?:"(?:local|kubeflow|vertex)"|(?:LOCAL|KUBEFLOW|VERTEX)\b)"""
)
# Where a string chooses what is called.
_CHOOSERS = {
    "pipelines/commands/models.py",
    "pipelines/compiling/compiled_files.py",
    "pipelines/own_pipeline/command.py",
    "pipelines/own_pipeline/submission.py",
}


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_platform_is_found_by_its_name(platform: PlatformTraits) -> None:
    assert platform_named(platform.name) is platform


def test_of_an_unknown_platform_nothing_is_known() -> None:
    unknown = platform_named("mars")
    assert unknown == PlatformTraits()
    assert not unknown.name


def test_the_names() -> None:
    assert PLATFORM_NAMES == ("local", "kubeflow", "vertex")
    assert JOB_PLATFORM_NAMES == ("vertex", "kubeflow")
    assert LOCAL.runs_here
    assert not LOCAL.sends_jobs


def test_whoever_asks_which_platform_it_is_asks_for_a_trait() -> None:
    asking = {
        str(path.relative_to(ROOT))
        for room in ("components", "pipelines")
        for path in (ROOT / room).rglob("*.py")
        if _COMPARED.search(path.read_text(encoding="utf-8"))
    }
    assert asking == _CHOOSERS
