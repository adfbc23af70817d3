"""docs/fork.md is true: every block of it is run, as it stands, in an empty folder."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kfp_llm_tuning.components import __version__
from kfp_llm_tuning.pipelines.compiling.component_list import components_of, stages

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "fork.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^## (\d)\. .*?\n.*?^```sh\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
OURS = "components/dataset/preprocess.py"
# What stands for a change of ours in the next version.
CHANGE = ("MAX_PROBLEMS_LISTED = 20", "MAX_PROBLEMS_LISTED = 25")


@pytest.fixture
def next_version(tmp_path: Path) -> Path:
    """What the fork copies, as a later checkout might have it."""
    checkout = tmp_path / "next-version"
    for folder in ("components/dataset", "tests/components/dataset"):
        shutil.copytree(ROOT / folder, checkout / folder)
    for name in ("conftest.py", "chat_tokenizers.py"):
        shutil.copy(ROOT / "tests/components" / name, checkout / "tests/components")
    text = (checkout / OURS).read_text(encoding="utf-8")
    assert CHANGE[0] in text
    (checkout / OURS).write_text(text.replace(*CHANGE), encoding="utf-8")
    return checkout


def run(number: str, block: str, folder: Path, checkout: Path) -> None:
    author = {
        f"GIT_{role}_{what}": value
        for role in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", "Somebody"), ("EMAIL", "somebody@example.com"))
    }
    binaries = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, **author, "PATH": binaries, "KFP_LLM_TUNING": str(checkout)}
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", block],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"step {number}\n{done.stdout}"


@pytest.mark.slow
def test_every_step_of_the_page(tmp_path: Path, next_version: Path) -> None:
    fork = tmp_path / "my-components"
    fork.mkdir()
    assert [number for number, _ in BLOCKS] == ["1", "2", "3", "4", "5", "6"]
    for number, block in BLOCKS:
        run(number, block, fork, next_version if number == "6" else ROOT)
    merged = (fork / "my_components" / "preprocess.py").read_text(encoding="utf-8")
    assert CHANGE[1] in merged
    assert "masked(row.input_text)" in merged
    interface = (fork / "my_components" / "component.py").read_text(encoding="utf-8")
    assert interface.count("@dsl.component") == 1
    assert "from my_components.stages import" in interface


def test_the_page_names_this_version() -> None:
    versions = re.findall(r"(?:==|kfp-llm-tuning-python:|of kfp-llm-tuning )(\d[\d.]*\d)", PAGE)
    assert versions == [__version__] * 3


def test_the_table_names_components_and_files_that_there_are() -> None:
    names = {name for stage in stages() for name, _ in components_of(stage)}
    for components, modules, tests in re.findall(r"^\| (`.*?) \| (.*?) \| (.*?) \|$", PAGE, re.M):
        folder = re.findall(r"`(.*?)`", tests)[0]
        stage = Path(folder).name
        assert set(re.findall(r"`(.*?)`", components)) <= names
        for module in re.findall(r"`(.*?)`", modules):
            assert (ROOT / "components" / stage / module).is_file(), module
        assert (ROOT / folder).is_dir()
