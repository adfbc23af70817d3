"""The command as a person meets it: help, versions, mistakes."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from kfp_llm_tuning.pipelines.cli import SUBCOMMANDS
from tests.terminal import look

COMMAND = [sys.executable, "-m", "kfp_llm_tuning.pipelines.cli"]


def call(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, cwd=cwd, check=False
    )


def test_help_names_every_subcommand() -> None:
    done = call("--help")
    assert done.returncode == 0
    for name in SUBCOMMANDS:
        assert f"  {name} " in done.stdout


def test_what_is_to_be_copied_is_not_wrapped() -> None:
    seen = look([*COMMAND, "--help"], columns=80)
    assert '    eval "$(_KFP_LLM_TUNING_COMPLETE=bash_source kfp-llm-tuning)"' in seen.lines


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from kfp_llm_tuning.pipelines.cli import cli\n"
        "for words in ('', 'run', 'validate', 'plan', 'submit', 'schedule', 'schedule create',\n"
        "              'schedule show', 'jobs', 'jobs show', 'models', 'models list', 'predict',\n"
        "              'compile'):\n"
        "    cli.main([*words.split(), '--help'], standalone_mode=False)\n"
        "heavy = {'kfp', 'torch', 'transformers', 'mlflow', 'datasets', 'matplotlib', 'pandas',\n"
        "         'google.auth', 'google.api_core', 'grpc', 'requests'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_version() -> None:
    assert (
        call("--version").stdout.strip() == f"kfp-llm-tuning, version {version('kfp-llm-tuning')}"
    )


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_completion(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_KFP_LLM_TUNING_COMPLETE", f"{shell}_source")
    code = "from kfp_llm_tuning.pipelines.cli import cli; cli(prog_name='kfp-llm-tuning')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "kfp-llm-tuning" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["vaildate"], "No such command 'vaildate'. Did you mean 'validate'?"),
        (["run"], "nothing to tune. Give --dataset-uri or --params"),
        (["run", "--train-stps", "3"], "No such option"),
        (["run", "--dataset-uri", "x", "--train-steps", "many"], "'many' is not a whole number"),
        (["run", "--params", "nosuch.yaml"], "nosuch.yaml: cannot be read: No such file"),
        (["run", "--request", "nosuch.json"], "nosuch.json: cannot be read: No such file"),
        (["run", "--resume"], "no unfinished run in runs"),
        (["run", "--resume", "x", "--train-steps", "3"], "a resumed run keeps its parameters"),
        (["submit"], "nothing to tune. Give --dataset-uri or --params"),
        (["submit", "--dataset-uri", "gs://b/x"], "the images have no registry"),
        (["submit", "--request", "nosuch.json"], "nosuch.json: cannot be read: No such file"),
        (["submit", "--dataset-uri", "x", "--experiment", "A"], "'A' names no experiment"),
        (["submit", "--dataset-uri", "x", "--caching", "--train-stps", "1"], "No such option"),
        (["schedule", "create", "--dataset-uri", "gs://b/x"], "Missing option '--cron'"),
        (["schedule", "list"], "schedule list --help' for help"),
        (["schedule", "list"], "Give --project"),
        (["jobs", "show", "job-1"], "Give --region"),
        (["jobs", "list", "--state", "odd"], "is not one of"),
        (["models", "list", "--platform", "vertex"], "Give --project"),
        (["plan"], "nothing to tune"),
        (["run", "--dataset-uri", "x", "--label", "novalue"], "'novalue' is no label"),
        (
            ["run", "--dataset-uri", "x", "--large-model-reference", "text-bisn@001"],
            "text-bison@001",
        ),
    ],
)
def test_mistakes_end_with_one_and_no_traceback(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    done = call(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_misspelt_parameter_of_a_request_is_told(shared_data: Path, tmp_path: Path) -> None:
    request = shared_data.parent / "contract" / "requests" / "misspelt_parameter.json"
    done = call("run", "--request", str(request), cwd=tmp_path)
    assert done.returncode == 1
    assert "Did you mean accelerator_type?" in done.stderr


@pytest.mark.parametrize(
    ("package", "words", "extra"),
    [
        (
            "google.api_core",
            ["jobs", "list", "--project", "p", "--region", "us-central1"],
            "vertex",
        ),
        ("mlflow", ["models", "list", "--registry-uri", "http://127.0.0.1:1"], "tuning"),
    ],
)
def test_a_missing_package_is_told(package: str, words: list[str], extra: str) -> None:
    code = (
        f"import sys; sys.modules['{package}'] = None\n"
        f"from kfp_llm_tuning.pipelines.cli import main; main({words})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert f"pip install 'kfp-llm-tuning[{extra}]'" in done.stderr
    assert "Traceback" not in done.stderr
