"""``serve``: what it tells, what it refuses, and that it answers."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.models import byte_tiny
from kfp_llm_tuning.components.models.model_references import resolve
from kfp_llm_tuning.components.serving.settings import SETTINGS
from kfp_llm_tuning.components.upload.mlflow_registry import Upload, register
from kfp_llm_tuning.pipelines.commands.serve import serve

_COMMAND = [sys.executable, "-m", "kfp_llm_tuning.pipelines.cli", "serve"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """byte-tiny as a tuned model's folder."""
    folder = tmp_path_factory.mktemp("serve") / "model"
    byte_tiny.build(folder)
    provenance = {"prompt_format": "plain", "max_input_tokens": 32, "max_output_tokens": 4}
    (folder / "tuning.json").write_text(json.dumps(provenance))
    return folder


def is_healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health") as response:
            return bool(response.status == 200)
    except urllib.error.HTTPError:
        return False


def call(*arguments: object) -> Result:
    result = CliRunner().invoke(serve, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_every_setting_is_an_option_with_the_same_default() -> None:
    defaults = {parameter.name: parameter.default for parameter in serve.params}
    for name, setting in SETTINGS.items():
        if name != "model":
            assert defaults[name] == setting.default


def test_it_tells_how_to_ask_and_what_it_tells_works(model: Path) -> None:
    uri = f"sqlite:///{model.parent}/mlflow.db"
    register(
        Upload(
            saved_model=model,
            tensorboard_metrics=model.parent,
            evaluation=model.parent,
            display_name="intents",
            reference=resolve("byte-tiny"),
            run_id="run-1",
            registry_uri=uri,
        )
    )
    options = ["intents@1", "--registry-uri", uri, "--port", "0", "--drain-seconds", "0"]
    with subprocess.Popen([*_COMMAND, *options], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            told = process.stdout.readline(), process.stdout.readline()
            assert told[0].startswith("Serving intents at http://127.0.0.1:")
            url = told[0].split()[3].rstrip(";")
            while not is_healthy(url):
                assert process.poll() is None
                time.sleep(0.1)
            answer = subprocess.run(["bash", "-c", told[1]], stdout=subprocess.PIPE, check=True)
            assert len(json.loads(answer.stdout)["predictions"]) == 1
            with urllib.request.urlopen(f"{url}/v1/models") as response:
                assert json.load(response)["data"][0]["id"] == "intents"
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
        finally:
            process.kill()


def test_port_in_use(model: Path) -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    with taken, pytest.raises(UserError, match="in use"):
        call(model, "--port", taken.getsockname()[1])


def test_missing_model(model: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no config\.json"):
        call(tmp_path)
    with pytest.raises(UserError, match="no registry|no registered model"):
        call("nobody", "--registry-uri", f"sqlite:///{tmp_path}/mlflow.db")


def test_models_that_are_not_served(model: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(model, tmp_path / "model"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "m.M"}}))
    with pytest.raises(UserError, match="code of the checkpoint's own"):
        call(folder)
    shutil.copy(model / "config.json", folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="only as pytorch_model.bin"):
        call(folder)


def test_wrong_options(model: Path) -> None:
    assert call(model, "--max-queue", "0").exit_code == 2
    assert call(model, "--engine", "tgi").exit_code == 2
    with pytest.raises(UserError, match="cannot be a route"):
        call(model, "--predict-route", "predict")


def test_without_the_server_s_libraries_it_tells_what_to_install(model: Path) -> None:
    program = (
        "import sys; sys.modules['fastapi'] = None;"
        "from kfp_llm_tuning.pipelines.cli import main; main(['serve', sys.argv[1]])"
    )
    command = [sys.executable, "-c", program, str(model)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    told = "Error: fastapi is not installed. Install it: pip install 'kfp-llm-tuning[serving]'.\n"
    assert done.stderr == told
