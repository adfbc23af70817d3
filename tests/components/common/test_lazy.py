"""Packages import their components only when these are asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

STAGES = ["validation", "dataset", "tuning", "evaluation", "upload"]


@pytest.mark.parametrize("stage", STAGES)
def test_importing_a_stage_imports_nothing_heavy(stage: str) -> None:
    code = (
        f"import sys, kfp_llm_tuning.components.{stage}\n"
        "heavy = {'kfp', 'torch', 'transformers', 'mlflow', 'datasets', 'matplotlib'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("stage", STAGES)
def test_an_unknown_name_is_an_attribute_error(stage: str) -> None:
    module = __import__(f"kfp_llm_tuning.components.{stage}", fromlist=["x"])
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = module.nonsense
