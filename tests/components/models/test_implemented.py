"""The table of what is implemented says what the code has, and is asked in one way."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.common.images import IMAGE
from kfp_llm_tuning.components.common.platforms import PLATFORM_NAMES
from kfp_llm_tuning.components.generation.engines import ENGINES
from kfp_llm_tuning.components.models import implemented
from kfp_llm_tuning.components.models.implemented import (
    Implementation,
    accelerators,
    image_kinds,
    implementations,
    no_engine,
    tuner_image,
)

ROOT = Path(__file__).parents[3]


@pytest.fixture
def row(monkeypatch: pytest.MonkeyPatch) -> Iterator[Implementation]:
    """The only row: something that tunes models of one type, in one way, on one platform."""
    only = Implementation("tune", "engine", {"GPU": "gpu"}, ("vertex",), ("llama",), ("full",))
    monkeypatch.setattr(implemented, "_rows", lambda: [only])
    yield only


def test_every_image_is_one_that_is_built() -> None:
    built = runpy.run_path(str(ROOT / "images" / "build.py"))["IMAGES"]
    # The engine of the image tpu is not whole: nothing is started in it.
    assert image_kinds() == set(built) - {"tpu"}


def test_every_engine_and_platform_is_one_of_ours() -> None:
    for row in implementations():
        assert row.engine in ENGINES
        assert set(row.platforms) <= set(PLATFORM_NAMES)


def test_nothing_is_implemented_on_tpu() -> None:
    assert implementations(accelerator="TPU") == []
    assert accelerators("tune") == ["CPU", "GPU"]
    assert no_engine("tune", "TPU") == "no engine of this version tunes on TPU."
    with pytest.raises(UserError, match="no engine of this version tunes on TPU"):
        tuner_image("TPU")


def test_the_image_follows_from_the_accelerator() -> None:
    assert tuner_image("CPU") == IMAGE
    assert tuner_image("GPU", "registry.test/r").startswith("registry.test/r/kfp-llm-tuning-gpu:")
    assert image_kinds("CPU") == {"python", "serving"}


@pytest.mark.usefixtures("row")
@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({}, ""),
        ({"platform": "vertex", "family": "llama", "method": "full"}, ""),
        ({"platform": "local"}, "no engine of this version tunes on the platform local."),
        ({"family": "t5"}, "no engine of this version tunes models of the type t5."),
        (
            {"family": "t5", "method": "adapter", "platform": "vertex"},
            "no engine of this version tunes models of the type t5 by the method adapter.",
        ),
    ],
)
def test_only_what_stands_in_the_way_is_named(asked: dict[str, str], sentence: str) -> None:
    assert no_engine("tune", "GPU", **asked) == sentence


def test_a_combination_that_no_row_has_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        Implementation("tune", "a", {"GPU": "gpu"}, ("vertex",), ("*",), ("adapter",)),
        Implementation("tune", "b", {"CPU": "python"}, ("local",), ("*",), ("full",)),
    ]
    monkeypatch.setattr(implemented, "_rows", lambda: rows)
    assert no_engine("tune", "GPU", family="gpt2", method="adapter", platform="vertex") == ""
    assert no_engine("tune", "GPU", method="full") == (
        "no engine of this version tunes by the method full on GPU."
    )
