"""Compiled pipelines: both YAML documents of an upload, and a run's parameters against them.

The server itself passes over a second document that it cannot read, and its pods then lack what
they need. Here both are parsed strictly.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Value
from kfp.kubernetes import kubernetes_executor_config_pb2
from kfp.pipeline_spec import pipeline_spec_pb2

from tests.kubeflow.errors import invalid

_SCHEMA_VERSION = "2.1.0"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,127}")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Types = pipeline_spec_pb2.ParameterType.ParameterTypeEnum
_KINDS = {
    _Types.NUMBER_DOUBLE: ("number_value", "double or integer"),
    _Types.NUMBER_INTEGER: ("number_value", "double or integer"),
    _Types.STRING: ("string_value", "string"),
    _Types.BOOLEAN: ("bool_value", "bool"),
    _Types.LIST: ("list_value", "list"),
    _Types.STRUCT: ("struct_value", "struct"),
}


@dataclass(frozen=True)
class Package:
    """A compiled pipeline.

    Attributes:
        spec: The pipeline, as JSON.
        platform: The platform's settings, as JSON; empty where there are none.
        message: The pipeline, parsed.
    """

    spec: Mapping[str, Any]
    platform: Mapping[str, Any]
    message: Any

    @property
    def name(self) -> str:
        """The pipeline's name."""
        return str(self.message.pipeline_info.name)

    def as_struct(self) -> dict[str, Any]:
        """Write it as answers do: both parts side by side where there are two."""
        if not self.platform:
            return dict(self.spec)
        return {"pipeline_spec": dict(self.spec), "platform_spec": dict(self.platform)}


def read_package(text: str) -> Package:
    """Parse an uploaded file.

    Args:
        text: One YAML document or two.

    Returns:
        The pipeline.

    Raises:
        ApiError: it is no pipeline, or its settings are wrong (400).
    """
    try:
        documents = [one for one in yaml.load_all(text, Loader=_LOADER) if one is not None]
    except yaml.YAMLError as error:
        raise invalid(f"unable to decode yaml document: {error}") from error
    if not documents:
        raise invalid("no pipeline spec is provided")
    if len(documents) > 2 or not all(isinstance(document, dict) for document in documents):
        raise invalid("one pipeline spec and one platform spec at most are expected")
    return make_package(documents[0], documents[1] if len(documents) > 1 else {})


def read_struct(content: Mapping[str, Any]) -> Package:
    """Parse a pipeline that stands in a request: alone, or beside its platform's settings.

    Raises:
        ApiError: as `read_package` does.
    """
    if "pipeline_spec" in content:
        return make_package(content["pipeline_spec"], content.get("platform_spec", {}))
    return make_package(content, {})


def make_package(spec: Mapping[str, Any], platform: Mapping[str, Any]) -> Package:
    """Check a pipeline and its platform's settings.

    Args:
        spec: The pipeline.
        platform: The settings; may be empty.

    Returns:
        Both.

    Raises:
        ApiError: a field is unknown or of a wrong type, or they do not fit together (400).
    """
    message = pipeline_spec_pb2.PipelineSpec()
    _parse(spec, message, "invalid v2 pipeline spec")
    if message.schema_version != _SCHEMA_VERSION:
        raise invalid(
            f"KFP only supports schema version {_SCHEMA_VERSION}, but the pipeline spec has "
            f"version {message.schema_version}"
        )
    if not _NAME.fullmatch(message.pipeline_info.name):
        raise invalid(
            "pipeline's name must contain only lowercase alphanumeric characters or '-' and must "
            "start with alphanumeric characters"
        )
    if not message.HasField("root"):
        raise invalid("invalid v2 pipeline spec: root component is empty")
    _check_references(message)
    if platform:
        _check_platform(platform, message)
    return Package(spec, platform, message)


def check_parameters(package: Package, parameters: Mapping[str, Any]) -> None:
    """Compare a run's parameters with the pipeline's inputs.

    Raises:
        ApiError: one is unknown, missing or of a wrong type (400).
    """
    inputs = package.message.root.input_definitions.parameters
    for name, definition in inputs.items():
        if name in parameters:
            _check_type(name, parameters[name], definition)
        elif not definition.is_optional and not definition.HasField("default_value"):
            raise invalid(
                f"parameter {name} is not optional, yet has neither default value nor user "
                "provided value"
            )
    extra = [name for name in parameters if name not in inputs]
    if extra:
        raise invalid(f"parameter(s) provided are not required by pipeline: {', '.join(extra)}")


def _check_type(name: str, content: Any, definition: Any) -> None:
    value = json_format.ParseDict(content, Value())
    kind, words = _KINDS[definition.parameter_type]
    if value.WhichOneof("kind") != kind:
        raise invalid(
            f"input parameter {name} requires type {words}, but the parameter value is not of "
            f"{kind.removesuffix('_value')} value type"
        )


def _check_references(message: Any) -> None:
    executors = message.deployment_spec["executors"].keys() if message.deployment_spec else []
    for component in (message.root, *message.components.values()):
        if component.executor_label and component.executor_label not in executors:
            raise invalid(f"there is no executor {component.executor_label!r}")
        for name, task in component.dag.tasks.items():
            if task.component_ref.name not in message.components:
                raise invalid(f"task {name}: there is no component {task.component_ref.name!r}")


def _check_platform(platform: Mapping[str, Any], message: Any) -> None:
    settings = pipeline_spec_pb2.PlatformSpec()
    _parse(platform, settings, "cannot unmarshal platform specific configs")
    if set(settings.platforms) != {"kubernetes"}:
        raise invalid(f"the platform must be kubernetes, not {sorted(settings.platforms)}")
    executors = message.deployment_spec["executors"].keys()
    for label, config in settings.platforms["kubernetes"].deployment_spec.executors.items():
        if label not in executors:
            raise invalid(f"platform settings for {label!r}, but there is no such executor")
        content = json_format.MessageToDict(config)
        target = kubernetes_executor_config_pb2.KubernetesExecutorConfig()
        _parse(content, target, f"platform settings of {label}")


def _parse(content: Mapping[str, Any], target: Any, doing: str) -> None:
    try:
        json_format.ParseDict(content, target)
    except (json_format.ParseError, TypeError, ValueError) as error:
        raise invalid(f"{doing}: {error}") from error
