"""``models list|show|delete`` against a real MLflow on SQLite."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner, Result

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.models.model_references import resolve
from kfp_llm_tuning.components.upload.mlflow_registry import Upload, deploy, register
from kfp_llm_tuning.pipelines.cli import cli
from kfp_llm_tuning.pipelines.commands.models import models
from tests.terminal import look


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a registry of intents@1, deployed, intents@2 and alerts@1."""
    folder = tmp_path_factory.mktemp("registered")
    (folder / "model").mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / "model" / name).write_text("{}")
    (folder / "evaluation").mkdir()
    figures = {
        "primary": {"name": "exact_match"},
        "metrics": {
            "exact_match": {"base": 0.0, "tuned": 0.75},
            "bleu": {"base": 1.0, "tuned": 50.0},
        },
    }
    (folder / "evaluation" / "evaluation.json").write_text(json.dumps(figures))
    uri = f"sqlite:///{folder}/mlflow.db"
    for name, run_id in (("intents", "run-1"), ("intents", "run-2"), ("alerts", "run-3")):
        register(
            Upload(
                saved_model=folder / "model",
                tensorboard_metrics=folder,
                evaluation=folder / "evaluation",
                display_name=name,
                reference=resolve("byte-tiny"),
                run_id=run_id,
                registry_uri=uri,
                labels={"team": run_id},
            )
        )
    deploy("models/intents@1", uri)
    return folder


@pytest.fixture
def registry_uri(registered: Path) -> str:
    return f"sqlite:///{registered}/mlflow.db"


def call(registry_uri: str, *arguments: str, answer: str = "") -> Result:
    options = ["--registry-uri", registry_uri]
    result = CliRunner().invoke(models, [*arguments, *options], input=answer)
    if isinstance(result.exception, UserError):
        raise result.exception
    return result


def test_list(registry_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    output = call(registry_uri, "list").output
    lines = output.splitlines()
    assert [line.split()[0] for line in lines] == ["MODEL", "alerts@1", "intents@2", "intents@1"]
    assert "exact_match 0.75 (base 0)" in lines[1]
    assert "yes" in lines[3] and "yes" not in lines[2]


def test_two_models_are_compared(registry_uri: str) -> None:
    output = call(registry_uri, "compare", "intents@1", "alerts").output
    assert "It is not known what data they were evaluated on" in output
    exact_match, bleu = (line.split() for line in output.splitlines()[-2:])
    assert exact_match == ["exact_match", "0.75", "0.75"]
    assert bleu == ["bleu", "50", "50"]
    with pytest.raises(UserError, match="both are models/intents@1"):
        call(registry_uri, "compare", "intents@1", "intents")


@pytest.mark.parametrize(
    ("words", "incomplete", "completed"),
    [
        (["models", "show"], "", ["alerts", "intents"]),
        (["models", "delete"], "intents@", ["intents@1", "intents@2"]),
        (["predict"], "al", ["alerts"]),
        (["serve"], "x", []),
    ],
)
def test_the_shell_completes_registered_models(
    registry_uri: str, words: list[str], incomplete: str, completed: list[str]
) -> None:
    shell = ShellComplete(cli, {}, "kfp-llm-tuning", "_COMPLETE")
    found = shell.get_completions([*words, "--registry-uri", registry_uri], incomplete)
    assert [item.value for item in found if item.type == "plain"] == completed
    assert {item.type for item in found} <= {"plain", "dir"}


def test_a_narrow_terminal_breaks_no_name(registered: Path) -> None:
    words = ["models", "list", "--registry-uri", f"sqlite:///{registered}/mlflow.db"]
    command = [sys.executable, "-m", "kfp_llm_tuning.pipelines.cli", *words]
    seen = look(command, columns=40)
    assert seen.exit_code == 0, seen.shown
    assert [line for line in seen.lines if line and not line.startswith(" ")] == [
        "alerts@1", "intents@2", "intents@1"
    ]  # fmt: skip
    assert "  base model byte-tiny-latest" in seen.lines
    assert "  metric exact_match 0.75 (base 0)" in seen.lines


def test_list_as_json_by_label(registry_uri: str) -> None:
    result = call(registry_uri, "list", "--json", "--label", "team=run-2")
    (found,) = json.loads(result.output)
    assert found["model_resource_name"] == "models/intents@2"
    assert found["metrics"]["tuned/exact_match"] == 0.75
    assert found["primary"] == {"name": "exact_match", "base": 0.0, "tuned": 0.75}
    assert found["labels"]["team"] == "run-2"


def test_list_of_nothing(registry_uri: str) -> None:
    assert (
        call(registry_uri, "list", "--label", "team=x").output == "No models with these labels.\n"
    )
    assert json.loads(call(registry_uri, "list", "--json", "--label", "team=x").output) == []


def test_every_bad_label_is_told(registry_uri: str) -> None:
    with pytest.raises(UserError) as caught:
        call(registry_uri, "list", "--label", "team", "--label", "x")
    assert len(caught.value.problems) == 2


def test_show(registry_uri: str, registered: Path) -> None:
    output = call(registry_uri, "show", "intents").output
    assert output.startswith("models/intents@1 (deployed)\n")
    assert f"weights     {(registered / 'mlartifacts').as_uri()}" in output
    assert "google-vertex-llm-tuning-base-model-id" in output
    # Once: not as a metric of each side and in the description too.
    assert output.count("bleu") == 1
    lines = output.splitlines()
    assert "primary     exact_match 0.75 (base 0)" in lines
    first = lines[next(n for n, line in enumerate(lines) if line.startswith("Metrics")) + 1]
    assert first.split() == ["exact_match", "0", "0.75"]


def test_show_as_json(registry_uri: str) -> None:
    found = json.loads(call(registry_uri, "show", "models/intents@2", "--json").output)
    assert (found["name"], found["version"], found["deployed"]) == ("intents", 2, False)


def test_unknown_model(registry_uri: str) -> None:
    with pytest.raises(UserError, match="Did you mean intents"):
        call(registry_uri, "show", "intent")


def test_no_registry(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no registry at"):
        call(f"sqlite:///{tmp_path}/mlflow.db", "list")


def test_delete_asks(registry_uri: str) -> None:
    result = call(registry_uri, "delete", "intents@2", answer="n\n")
    assert result.exit_code == 1
    assert "models/intents@2  file://" in result.output
    assert len(json.loads(call(registry_uri, "list", "--json").output)) == 3


@pytest.mark.parametrize(
    ("model", "deleted", "left"),
    [
        ("intents@2", 1, ["models/alerts@1", "models/intents@1"]),
        ("intents@deployed", 1, ["models/alerts@1", "models/intents@2"]),
        ("intents", 2, ["models/alerts@1"]),
    ],
)
def test_delete(
    registered: Path, tmp_path: Path, model: str, deleted: int, left: list[str]
) -> None:
    # Runs keep the absolute paths of their files: what is deleted is the copy's own entries.
    shutil.copy(registered / "mlflow.db", tmp_path)
    shutil.copytree(registered / "mlartifacts", tmp_path / "kept")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    try:
        result = call(uri, "delete", model, "--yes")
        found = json.loads(call(uri, "list", "--json").output)
    finally:
        shutil.rmtree(registered / "mlartifacts")
        shutil.move(tmp_path / "kept", registered / "mlartifacts")
    assert f"Deleted {deleted} version" in result.output
    assert [version["model_resource_name"] for version in found] == left
