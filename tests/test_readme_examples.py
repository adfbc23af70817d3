"""Every example of a component's README runs as it is written, one after the other in one folder.

That is how a reader goes through them: a later stage takes the folders that an earlier one left.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from kfp_llm_tuning.pipelines.compiling.component_list import stages

ROOT = Path(__file__).parents[1]
# In the order of the work. No later stage is needed for an earlier one.
PAGES = ["validation", "dataset", "tuning", "evaluation", "upload"]
_BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# A model's name in the page of a registry; the page's own example registers this one.
_PLACEHOLDER, _NAME = "NAME", "intents"
_COMPILE = """
from kfp import compiler
from kfp.dsl.base_component import BaseComponent
pipelines = [one for one in list(globals().values()) if isinstance(one, BaseComponent)]
for number, one in enumerate(pipelines):
    compiler.Compiler().compile(one, f"compiled-{number}.yaml")
assert pipelines
"""


@dataclass(frozen=True)
class Example:
    """A block of a page."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    def run(self, folder: Path) -> None:
        command = ["bash", "-e", "-c", self.text]
        if self.language == "python":
            command = [sys.executable, "-c", self.text]
        binaries = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "PATH": binaries},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        # kfp.local raises where a task failed.
        assert done.returncode == 0, f"{self}\n{done.stdout}"


def examples(page: Path) -> Iterator[Example]:
    text = page.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        yield Example(page, text.count("\n", 0, found.start()) + 1, *found.groups())


def python_examples(page: Path) -> list[Example]:
    return [one for one in examples(page) if one.language == "python"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkout's ``compiled``, and a few rows of the shipped data."""
    (tmp_path / "compiled").symlink_to(ROOT / "compiled")
    for name, count in (("train", 40), ("evaluation", 10)):
        lines = (ROOT / "examples/support" / f"{name}.jsonl").read_text(encoding="utf-8")
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines.splitlines()[:count]) + "\n")
    return tmp_path


def test_every_stage_has_an_example() -> None:
    assert sorted(PAGES) == stages()
    for stage in PAGES:
        assert python_examples(ROOT / "components" / stage / "README.md"), stage


def test_every_example_of_the_components_runs(folder: Path) -> None:
    found = [one for stage in PAGES for one in examples(ROOT / "components" / stage / "README.md")]
    # What loads a registered model comes after what registers one.
    found.sort(key=lambda one: _PLACEHOLDER in one.text)
    for one in found:
        text = one.text.replace(_PLACEHOLDER, _NAME)
        Example(one.page, one.line, one.language, text).run(folder)


@pytest.mark.parametrize(
    "example",
    [one for one in python_examples(ROOT / "README.md") if "@dsl.pipeline" in one.text],
    ids=str,
)
def test_every_pipeline_of_the_first_page_compiles(example: Example, folder: Path) -> None:
    Example(example.page, example.line, "python", example.text + _COMPILE).run(folder)


def test_the_pipeline_of_the_examples_page_compiles(folder: Path) -> None:
    (example,) = python_examples(ROOT / "examples" / "README.md")
    call = "main(['compile', '--platform', 'kubeflow'])"
    Example(example.page, example.line, "python", f"{example.text}\n{call}").run(folder)
    assert (folder / "mine.yaml").is_file()
