"""What the shell completes: files, base models, runs. Registered models: test_models.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from kfp_llm_tuning.components.models import model_references
from kfp_llm_tuning.pipelines.cli import cli


def completed(*words: str, incomplete: str = "") -> tuple[set[str], list[str]]:
    """The kinds of what is completed, and the texts of what the shell does not find itself."""
    found = ShellComplete(cli, {}, "kfp-llm-tuning", "_COMPLETE").get_completions(
        list(words), incomplete
    )
    return {item.type for item in found}, [item.value for item in found if item.type == "plain"]


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (["validate"], "file"),
        (["validate", "--evaluation"], "file"),
        (["run", "--dataset-uri"], "file"),
        (["submit", "--evaluation-data-uri"], "file"),
        (["plan", "--params"], "file"),
        (["schedule", "create", "--request"], "file"),
        (["run", "--evaluation-output-root-dir"], "dir"),
        (["compile", "--output"], "dir"),
    ],
)
def test_files_and_folders_are_left_to_the_shell(words: list[str], kind: str) -> None:
    assert completed(*words, incomplete="tr") == ({kind}, [])


@pytest.mark.parametrize("words", [["run", "--large-model-reference"], ["validate", "--model"]])
def test_base_models(words: list[str]) -> None:
    expected = [name for name in sorted(model_references.names()) if name.startswith("text-")]
    assert completed(*words, incomplete="text-") == ({"dir", "plain"}, expected)


def test_runs_of_the_output_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for run in ("runs/first", "runs/second", "elsewhere/third"):
        (tmp_path / run).mkdir(parents=True)
        (tmp_path / run / "run.json").touch()
    (tmp_path / "runs" / "no-run").mkdir()
    assert completed("run", "--resume")[1] == ["first", "second"]
    assert completed("run", "--resume", incomplete="s")[1] == ["second"]
    assert completed("run", "--output-dir", "elsewhere", "--resume")[1] == ["third"]


def test_nothing_is_completed_of_what_is_no_registry(tmp_path: Path) -> None:
    broken = tmp_path / "mlflow.db"
    broken.write_text("no database")
    for uri in (f"sqlite:///{broken}", "sqlite://", "https://mlflow.example.com", "nonsense"):
        assert completed("models", "show", "--registry-uri", uri)[1] == []
