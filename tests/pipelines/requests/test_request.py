"""Published REST bodies and parameter files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.pipelines.requests.request import read_parameters_file, read_request


@pytest.fixture
def requests(shared_data: Path) -> Path:
    return shared_data.parent / "contract" / "requests"


def test_published_text_request(requests: Path) -> None:
    request = read_request(requests / "rest_text.json")
    parameters = request.parameters()
    assert request.template == "tune-large-model"
    assert parameters["enable_checkpoint_selection"] == "true"
    assert parameters["evaluation_interval"] == 20
    assert any("serviceAccount" in note for note in request.notes)
    assert any("gcsOutputDirectory" in note for note in request.notes)


def test_published_chat_request(requests: Path) -> None:
    request = read_request(requests / "rest_chat.json")
    assert request.template == "tune-large-chat-model"
    assert request.parameters()["default_context"] == "You are a helpful assistant."


def test_misspelt_parameter_is_told(requests: Path) -> None:
    with pytest.raises(UserError) as caught:
        read_request(requests / "misspelt_parameter.json").parameters()
    assert "'accelerator_type:': unknown parameter. Did you mean accelerator_type?" in str(
        caught.value
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "is no pipeline job request"),
        ('"text"', "is no pipeline job request"),
        ("{}", "is no pipeline job request"),
        ('{"runtimeConfig": {"parameterValues": []}}', "is no pipeline job request"),
        (
            '{"runtimeConfig": {"parameterValues": {}}, "templateUri": "https://x/y/other/v1"}',
            "no template of ours stands for https://x/y/other/v1",
        ),
    ],
)
def test_broken_requests(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "request.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        read_request(path).parameters()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("serviceAccount", 1),
        ("network", ["n"]),
        ("encryptionSpec", "key"),
        ("reservedIpRanges", "range"),
        ("pscInterfaceConfig", [1]),
    ],
)
def test_cloud_fields_of_wrong_types(tmp_path: Path, field: str, value: object) -> None:
    path = tmp_path / "request.json"
    path.write_text(json.dumps({"runtimeConfig": {"parameterValues": {}}, field: value}))
    with pytest.raises(UserError, match=f"{field}: .* is not"):
        read_request(path).parameters()


def test_what_a_request_says_of_the_cloud(requests: Path) -> None:
    request = read_request(requests / "rest_text.json")
    assert request.display_name == "tune-llm"
    assert request.pipeline_root == "gs://my-bucket/output"
    assert set(request.cloud) == {"serviceAccount", "encryptionSpec"}


def test_request_without_template_is_the_text_one(tmp_path: Path) -> None:
    path = tmp_path / "request.json"
    body = {"runtimeConfig": {"parameterValues": {"train_steps": 5}}}
    path.write_text(json.dumps(body), encoding="utf-8")
    assert read_request(path).template == "tune-large-model"


@pytest.mark.parametrize(
    ("content", "message"),
    [("- a\n- b\n", "is no mapping"), ("a: [", "is not YAML"), ("", "is no mapping")],
)
def test_broken_parameter_files(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "parameters.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        read_parameters_file(path)


def test_missing_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read: No such file"):
        read_request(tmp_path / "none.json")
