"""The launcher's container, and the payload that comes out when its placeholders are filled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.cloud.aiplatform_v1 import types
from google.protobuf import json_format
from google_cloud_pipeline_components.container.v1.gcp_launcher.utils import parser_util
from kfp import compiler

from kfp_llm_tuning.components.common.images import IMAGE
from kfp_llm_tuning.components.models.machine_specs import select_machine
from kfp_llm_tuning.components.tuning.custom_job import CustomJob
from kfp_llm_tuning.components.tuning.vertex_component import large_language_model_tuner


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("compiled") / "tuner.yaml"
    compiler.Compiler().compile(large_language_model_tuner, str(path))
    compiled: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    return compiled


def test_its_interface(spec: dict[str, Any]) -> None:
    (component,) = spec["components"].values()
    assert component["inputDefinitions"]["parameters"].keys() == {
        *("project", "location", "payload_first_part", "payload_second_part")
    }
    outputs = component["outputDefinitions"]
    assert outputs["parameters"].keys() == {"gcp_resources"}
    assert outputs["artifacts"].keys() == {"saved_model", "tensorboard_metrics"}
    assert spec["pipelineInfo"]["name"] == "large-language-model-tuner"


def test_the_launcher_gets_a_payload_that_the_service_parses(
    spec: dict[str, Any], tmp_path: Path
) -> None:
    (executor,) = spec["deploymentSpec"]["executors"].values()
    container = executor["container"]
    assert container["image"] == IMAGE
    assert container["command"][-1] == "kfp_llm_tuning.components.common.custom_job_launcher"
    first, second = CustomJob(
        machine=select_machine("GPU", "l4-1"),
        image_registry="registry",
        payload='{"model_reference": "byte-tiny"}',
        train_dataset="gs://b/train",
        evaluation_dataset="gs://b/evaluation",
        timeout="60s",
    ).payload_parts()
    values = {
        "{{$.inputs.parameters['project']}}": "my-project",
        "{{$.inputs.parameters['location']}}": "us-central1",
        "{{$.inputs.parameters['payload_first_part']}}": first,
        "{{$.inputs.parameters['payload_second_part']}}": second,
        "{{$.outputs.artifacts['saved_model'].uri}}": "gs://b/model",
        "{{$.outputs.artifacts['tensorboard_metrics'].uri}}": "gs://b/metrics",
        "{{$.outputs.parameters['gcp_resources'].output_file}}": str(tmp_path / "gcp_resources"),
    }
    _, parsed = parser_util.parse_default_args([resolved(arg, values) for arg in container["args"]])
    assert (parsed.type, parsed.project, parsed.location) == (
        "CustomJob",
        "my-project",
        "us-central1",
    )
    assert parsed.gcp_resources == values["{{$.outputs.parameters['gcp_resources'].output_file}}"]
    job = json_format.ParseDict(json.loads(parsed.payload), types.CustomJob.pb()())
    assert job.display_name == (
        "large-language-model-tuner-{{$.pipeline_job_uuid}}-{{$.pipeline_task_uuid}}"
    )
    args = list(job.job_spec.worker_pool_specs[0].container_spec.args)
    assert args[-4:] == ["--output", "gs://b/model", "--metrics", "gs://b/metrics"]


def resolved(argument: str, values: dict[str, str]) -> str:
    """Fills the placeholders as the service does: in each part of a concatenation by itself."""
    if argument.startswith('{"Concat": '):
        parts = json.loads(argument)["Concat"]
        return "".join(values.get(part, part) for part in parts)
    return values.get(argument, argument)
