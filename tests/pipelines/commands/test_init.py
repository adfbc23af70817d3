"""The starter project: what ``init`` writes compiles, passes its tests and runs at once."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from kfp_llm_tuning.components import __version__
from kfp_llm_tuning.components.common.errors import UserError
from tests.pipelines.conftest import Call

ROOT = Path(__file__).parents[3]


def make(folder: Path, *words: str) -> str:
    """Calls make; this environment stands for the one that `make install` makes of the index."""
    installed = folder / ".venv" / ".installed"
    installed.parent.mkdir(exist_ok=True)
    installed.touch()
    command = ["make", f"BIN={Path(sys.executable).parent}", *words]
    done = subprocess.run(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture
def project(call: Call, tmp_path: Path) -> Path:
    folder = tmp_path / "support-bot"
    assert call("init", str(folder)).exit_code == 0
    return folder


def test_it_tells_what_it_wrote_and_what_to_type_next(call: Call, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "bot"
    result = call("init", str(folder))
    for path in folder.rglob("*"):
        assert path.is_dir() or str(path) in result.output
    assert f"cd {folder}\n" in result.output
    for word in ("make run", "make test", "make compile"):
        assert word in result.output


def test_it_tests_and_compiles_at_once(project: Path) -> None:
    assert "3 passed" in make(project, "test")
    make(project, "compile", "KFP_LLM_TUNING_IMAGE_REGISTRY=registry.test/x")
    for platform in ("kubeflow", "vertex"):
        text = (project / "compiled" / f"{platform}.yaml").read_text(encoding="utf-8")
        spec = next(yaml.load_all(text, Loader=yaml.CSafeLoader))
        assert spec["pipelineInfo"]["name"] == "support-bot"
        assert spec["root"]["dag"]["tasks"].keys() == {"prepare", "tune-large-model"}


@pytest.mark.slow
def test_it_runs_at_once(project: Path) -> None:
    messages = project / "data" / "messages.jsonl"
    messages.write_text("".join(messages.read_text().splitlines(keepends=True)[:50]))
    parameters = project / "parameters.yaml"
    fewer = re.sub("train_steps: [0-9]+", "train_steps: 3", parameters.read_text(encoding="utf-8"))
    (project / "few.yaml").write_text(fewer)
    printed = make(project, "run", "PARAMETERS=few.yaml")
    assert "✓ prepare" in printed
    assert "model_resource_name: models/support-bot@1" in printed


def test_its_package_is_this_one(project: Path) -> None:
    requirements = (project / "requirements.txt").read_text(encoding="utf-8")
    assert f"kfp-llm-tuning[tuning]=={__version__}\n" in requirements


def test_its_data_are_rows_of_the_shipped_example(project: Path) -> None:
    rows = (project / "data" / "messages.jsonl").read_text(encoding="utf-8")
    shipped = (ROOT / "examples" / "support" / "train.jsonl").read_text(encoding="utf-8")
    assert shipped.startswith(rows)
    assert rows.count("\n") == 80


def test_its_ci_calls_targets_of_its_makefile(project: Path) -> None:
    workflow = yaml.load(
        (project / ".github/workflows/ci.yaml").read_text(encoding="utf-8"), Loader=yaml.CSafeLoader
    )
    called = [step["run"] for step in workflow["jobs"]["test"]["steps"] if "run" in step]
    makefile = (project / "Makefile").read_text(encoding="utf-8")
    assert called == ["make test", "make compile"]
    for command in called:
        assert f"\n{command.removeprefix('make ')}: " in makefile


def test_a_folder_with_files_is_left_alone(call: Call, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="is not empty") as raised:
        call("init", str(tmp_path), "--name", "Not A Name")
    assert "cannot name a pipeline" in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("name", ["Bot", "1bot", "bot-", "my_bot", "lambda", "", "b" * 51])
def test_names_that_a_pipeline_cannot_have(call: Call, tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="cannot name a pipeline"):
        call("init", str(tmp_path / "new"), "--name", name)
    assert not (tmp_path / "new").exists()


def test_a_folder_that_cannot_name_a_pipeline_is_told_of_the_option(
    call: Call, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="Give --name"):
        call("init", str(tmp_path / "My Bot"))
    assert call("init", str(tmp_path / "My Bot"), "--name", "my-bot").exit_code == 0
    assert "def my_bot(platform" in (tmp_path / "My Bot" / "pipeline.py").read_text()
