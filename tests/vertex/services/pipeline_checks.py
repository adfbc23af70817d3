"""What the service checks before it takes a PipelineJob: the spec and the run's parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct, Value
from kfp.pipeline_spec import pipeline_spec_pb2

from tests.vertex import errors
from tests.vertex.backend import Call

_Types = pipeline_spec_pb2.ParameterType.ParameterTypeEnum
_KINDS: dict[int, set[str]] = {
    _Types.NUMBER_DOUBLE: {"number_value"},
    _Types.NUMBER_INTEGER: {"number_value"},
    # Every Google SDK sends a boolean for the published enable_checkpoint_selection, a STRING.
    _Types.STRING: {"string_value", "bool_value"},
    _Types.BOOLEAN: {"bool_value"},
    _Types.LIST: {"list_value"},
    _Types.STRUCT: {"struct_value"},
}


def check_job(call: Call, job: Any) -> None:
    """Fill in the spec of a template and refuse a job that cannot run.

    Args:
        call: The call.
        job: The PipelineJob; gets the spec of its template.

    Raises:
        ApiError: the spec, a parameter or the output directory is wrong (400), or there is no such
            template (404).
    """
    if not job.pipeline_spec.fields:
        _fill_in_template(call, job)
    spec = parse_spec(job.pipeline_spec)
    root = job.runtime_config.gcs_output_directory or spec.default_pipeline_root
    if not root.startswith("gs://"):
        raise errors.invalid(
            f"Invalid runtime_config.gcs_output_directory {root!r}: a gs:// URI is needed."
        )
    check_parameters(spec, job.runtime_config)


def parse_spec(struct: Struct) -> Any:
    """Parse a pipeline spec as strictly as the service.

    Args:
        struct: The spec.

    Returns:
        The PipelineSpec.

    Raises:
        ApiError: a field is unknown or of a wrong type, or the spec has no root (400).
    """
    content = json_format.MessageToDict(struct)
    spec = pipeline_spec_pb2.PipelineSpec()
    try:
        json_format.ParseDict(content, spec)
    except json_format.ParseError as error:
        raise errors.invalid(f"Invalid pipeline_spec: {error}") from error
    if not spec.pipeline_info.name or not spec.HasField("root"):
        raise errors.invalid("Invalid pipeline_spec: pipelineInfo.name and root are required.")
    for name in _component_references(spec):
        if name not in spec.components:
            raise errors.invalid(f"Invalid pipeline_spec: there is no component {name!r}.")
    return spec


def check_parameters(spec: Any, runtime_config: Any) -> None:
    """Compare the run's parameters with the pipeline's inputs.

    Raises:
        ApiError: a parameter is unknown, missing or of a wrong type (400).
    """
    inputs = spec.root.input_definitions.parameters
    legacy = {name: None for name in runtime_config.parameters}
    given: dict[str, Value | None] = {**legacy, **dict(runtime_config.parameter_values)}
    problems = []
    for name, value in given.items():
        if name not in inputs:
            problems.append(
                f"The pipeline parameter {name} is not found in the pipeline job input definitions."
            )
        elif value is not None and not _fits(value, inputs[name]):
            expected = _Types.Name(inputs[name].parameter_type)
            problems.append(f"The pipeline parameter {name} must be of type {expected}.")
    for name, definition in inputs.items():
        optional = definition.is_optional or definition.HasField("default_value")
        if name not in given and not optional:
            problems.append(f"The pipeline parameter {name} is required but was not given.")
    if problems:
        raise errors.invalid("Invalid runtime_config: " + " ".join(problems))


def load_template(path: Path) -> dict[str, Any]:
    """The pipeline spec of a compiled template."""
    content: dict[str, Any] = next(
        yaml.load_all(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    )
    return content


def _fill_in_template(call: Call, job: Any) -> None:
    if not job.template_uri:
        raise errors.invalid("Either pipeline_spec or template_uri is required.")
    templates = call.backend.templates
    known = [uri for uri in templates if job.template_uri.startswith(uri)]
    if not known:
        raise errors.not_found(job.template_uri)
    uri = max(known, key=len)
    json_format.ParseDict(load_template(templates[uri]), job.pipeline_spec)
    job.template_metadata.version = job.template_uri.rstrip("/").rsplit("/", 1)[-1]


def _component_references(spec: Any) -> list[str]:
    dags = [spec.root.dag] + [c.dag for c in spec.components.values() if c.HasField("dag")]
    return [task.component_ref.name for dag in dags for task in dag.tasks.values()]


def _fits(value: Value, definition: Any) -> bool:
    kind = value.WhichOneof("kind")
    if kind == "null_value":
        return bool(definition.is_optional)
    expected = _KINDS.get(definition.parameter_type)
    if expected is None:
        return True
    if definition.parameter_type == _Types.NUMBER_INTEGER and not value.number_value.is_integer():
        return False
    return kind in expected
