"""The tuner's arguments: from the tables, from the inputs, and why."""

from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.data.artifacts import Encoding, write_encoding
from kfp_llm_tuning.components.models.machine_specs import select_machine
from kfp_llm_tuning.components.models.model_references import resolve
from kfp_llm_tuning.components.tuning import compose_params_for_model_tuner
from kfp_llm_tuning.components.tuning.arguments import TuningArguments
from kfp_llm_tuning.components.tuning.compose import TuningRequest, compose, compose_arguments


def _encoding(examples: int) -> Encoding:
    return Encoding(
        max_input_tokens=8192, max_output_tokens=1024, prompt_format="plain", examples=examples
    )


def composed(evaluation: int = 20, **inputs: Any) -> tuple[TuningArguments, str]:
    request = TuningRequest.from_inputs({"large_model_reference": "text-bison@002", **inputs})
    arguments, decisions = compose_arguments(request, _encoding(240), _encoding(evaluation))
    return arguments, "\n".join(decisions)


@pytest.mark.parametrize(
    ("reference", "batch_size"),
    [("text-bison@001", 8), ("text-bison", 3), ("code-bison-32k", 8), ("byte-tiny", 8)],
)
def test_the_batch_size_is_the_tables(reference: str, batch_size: int) -> None:
    arguments, decisions = composed(large_model_reference=reference)
    assert arguments.batch_size == batch_size
    assert f"batch size {batch_size}: from the table for {reference}, column GPU" in decisions


def test_what_nothing_tunes_on_is_not_composed_for() -> None:
    with pytest.raises(UserError, match="use_tpu: no engine of this version tunes on TPU"):
        composed(use_tpu=True)


def test_the_documents_example_of_steps_and_epochs() -> None:
    _, on_gpu = composed(train_steps=15)
    assert "15 steps: 120 examples seen, 0.50 epochs of 240" in on_gpu


@pytest.mark.parametrize(("method", "steps"), [("tune_v2", 300), ("tune", 1000)])
@pytest.mark.parametrize("asked", [0, -1])
def test_no_steps_are_the_methods_own(asked: int, method: str, steps: int) -> None:
    arguments, decisions = composed(
        large_model_reference="text-bison-001", train_steps=asked, tuning_method=method
    )
    assert arguments.train_steps == steps
    assert arguments.model_reference == "text-bison@001"
    assert f"{steps:,} steps (the default of {method})" in decisions


def test_the_legacy_methods_rate_is_in_units_of_its_own() -> None:
    legacy = {"large_model_reference": "text-bison@001", "tuning_method": "tune"}
    recommended, _ = composed(**legacy)
    given, decisions = composed(**legacy, learning_rate=3.0)
    assert given.learning_rate == recommended.learning_rate
    assert "3 as given, where 3 is what tune recommends" in decisions
    assert composed(**legacy, learning_rate=1.5)[0].learning_rate == given.learning_rate / 2
    with pytest.raises(UserError, match="learning_rate: 3.0 is out of range"):
        composed(learning_rate=3.0)


def test_whole_numbers_may_have_lost_their_point() -> None:
    arguments, _ = composed(learning_rate=1, learning_rate_multiplier=1)
    assert repr(arguments.learning_rate) == repr(arguments.learning_rate_multiplier) == "1.0"


@pytest.mark.parametrize("negative", [-1.0, -0.5])
def test_a_negative_learning_rate_is_the_models_own(negative: float) -> None:
    arguments, decisions = composed(learning_rate=negative, learning_rate_multiplier=0.5)
    own = resolve("text-bison@002").learning_rate
    assert arguments.learning_rate == own
    assert arguments.peak_learning_rate == own * 0.5
    assert f"{own:g} (recommended for text-bison@002) x 0.5" in decisions


def test_a_given_learning_rate_replaces_it() -> None:
    arguments, decisions = composed(learning_rate=0.01)
    assert arguments.learning_rate == 0.01
    assert "0.01 (as given) x 1" in decisions


@pytest.mark.parametrize(
    ("reference", "choice", "expected", "source"),
    [
        ("text-bison@001", "default", True, "on: the default for text-bison@001"),
        ("text-bison@002", "default", False, "off: the default for text-bison@002"),
        ("text-bison@001", "False", False, "off: as given"),
        ("text-bison@002", "TRUE", True, "on: as given"),
    ],
)
def test_checkpoint_selection(reference: str, choice: str, expected: bool, source: str) -> None:
    arguments, decisions = composed(
        large_model_reference=reference, enable_checkpoint_selection=choice
    )
    assert arguments.enable_checkpoint_selection is expected
    assert f"checkpoint selection {source}" in decisions


def test_an_unknown_checkpoint_selection_is_refused() -> None:
    with pytest.raises(UserError, match="enable_checkpoint_selection: 'best' is unknown"):
        composed(enable_checkpoint_selection="best")


def test_without_an_evaluation_set_nothing_depends_on_one() -> None:
    arguments, decisions = composed(evaluation=0, enable_checkpoint_selection="true")
    assert not arguments.enable_early_stopping
    assert not arguments.enable_checkpoint_selection
    assert "so early stopping and checkpoint selection are off" in decisions
    _, quiet = composed(evaluation=0, enable_early_stopping=False)
    assert quiet.endswith("no evaluation: there is no evaluation set")


def test_with_an_evaluation_set_early_stopping_is_as_given() -> None:
    assert composed(enable_early_stopping=True)[0].enable_early_stopping
    assert not composed(enable_early_stopping=False)[0].enable_early_stopping
    assert "evaluation over 20 examples, 5 steps apart" in composed(evaluation_interval=5)[1]


@pytest.mark.parametrize(
    ("reference", "method", "tuning"),
    [
        ("text-bison@002", "tune_v2", "adapter"),
        ("text-bison@002", "tune", "adapter"),
        ("text-bison@002", "full", "full"),
        ("byte-tiny", "tune_v2", "full"),
        ("byte-tiny", "adapter", "adapter"),
    ],
)
def test_the_method_decides_what_is_trained(reference: str, method: str, tuning: str) -> None:
    assert composed(large_model_reference=reference, tuning_method=method)[0].tuning == tuning


def test_the_substitution_is_the_first_thing_told() -> None:
    assert composed()[1].startswith("text-bison@002 is closed and no longer served")
    assert composed(large_model_reference="byte-tiny")[1].startswith("model builtin://byte-tiny")


def test_the_payload_is_the_arguments_and_the_log_has_the_decisions(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train, evaluation = _folders(tmp_path, 0)
    request = TuningRequest(
        large_model_reference="byte-tiny", model_display_name="mine", seed=5, train_steps=7
    )
    with caplog.at_level(logging.INFO):
        payload = compose(request, train, evaluation)
    arguments = TuningArguments.from_json(payload)
    assert (arguments.model_reference, arguments.display_name) == ("byte-tiny", "mine")
    assert (arguments.seed, arguments.train_steps) == (5, 7)
    assert "batch size 8: from the table for byte-tiny, column GPU" in caplog.messages


@pytest.mark.parametrize(
    ("location", "region", "expected"),
    [("us-central1", "us-west1", "us-central1"), ("", "us-west1", "us-west1"), ("", "", "")],
)
def test_the_component(tmp_path: Path, location: str, region: str, expected: str) -> None:
    train, evaluation = _folders(tmp_path, 30)
    outputs = compose_params_for_model_tuner.python_func(
        large_model_reference="byte-tiny",
        train_dataset=_Artifact(train),
        evaluation_dataset=_Artifact(evaluation),
        location=location,
        pipeline_region=region,
    )
    assert outputs[0] == expected
    assert json.loads(outputs[1])["enable_early_stopping"] is True
    assert outputs[2:] == ("", "")


def test_the_component_composes_a_job_for_a_machine(tmp_path: Path) -> None:
    train, evaluation = _folders(tmp_path, 30)
    outputs = compose_params_for_model_tuner.python_func(
        large_model_reference="text-bison@002",
        train_dataset=_Artifact(train),
        evaluation_dataset=_Artifact(evaluation),
        location="us-central1",
        machine_spec=select_machine("GPU").to_json(),
        image_registry="registry",
        checkpoint_directory="gs://bucket/checkpoints",
        service_account="",
    )
    first, second = outputs[2:]
    job = json.loads(f"{{{first}MODEL{second}")
    assert job["labels"] == {"kfp-llm-tuning-model": "text-bison-002"}
    assert job["job_spec"]["scheduling"] == {
        "timeout": "604800s",
        "restart_job_on_worker_restart": True,
    }
    (pool,) = job["job_spec"]["worker_pool_specs"]
    args = pool["container_spec"]["args"]
    assert args[:2] == ["--payload", outputs[1]]
    assert args[3:8:2] == ["gs://bucket/train", "gs://bucket/evaluation", "gs://bucket/checkpoints"]


def test_the_component_ends_a_users_mistake_with_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train, evaluation = _folders(tmp_path, 30)
    with pytest.raises(SystemExit) as stopped:
        compose_params_for_model_tuner.python_func(
            large_model_reference="byte-tny",
            train_dataset=_Artifact(train),
            evaluation_dataset=_Artifact(evaluation),
        )
    assert stopped.value.code == 1
    assert "Did you mean byte-tiny" in capsys.readouterr().err


@dataclasses.dataclass
class _Artifact:
    folder: Path

    @property
    def path(self) -> str:
        return str(self.folder)

    @property
    def uri(self) -> str:
        return f"gs://bucket/{self.folder.name}"


def _folders(root: Path, evaluation: int) -> tuple[Path, Path]:
    folders = root / "train", root / "evaluation"
    for folder, examples in zip(folders, (240, evaluation), strict=True):
        folder.mkdir()
        write_encoding(folder, _encoding(examples))
    return folders
