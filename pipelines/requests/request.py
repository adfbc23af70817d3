"""Requests: a pipeline's template and its parameter values, from options, YAML or a REST body."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kfp_llm_tuning.components.common.documents import parse_json, parse_yaml, read_text
from kfp_llm_tuning.components.common.errors import Problem, UserError, collect, raise_all
from kfp_llm_tuning.components.common.wording import one_line, short
from kfp_llm_tuning.components.parameters.pipeline import TEMPLATES
from kfp_llm_tuning.pipelines.requests.parameters import sort_out

DEFAULT_TEMPLATE = "tune-large-model"
CHAT_TEMPLATE = "tune-large-chat-model"

# Fields of the published REST body that say something about Google Cloud, with their types.
_CLOUD_FIELDS: Mapping[str, type] = {
    "serviceAccount": str,
    "network": str,
    "encryptionSpec": dict,
    "reservedIpRanges": list,
    "pscInterfaceConfig": dict,
}


@dataclass(frozen=True)
class Request:
    """What to run.

    Attributes:
        template: The pipeline's name.
        values: Parameter values as given, neither checked nor completed.
        labels: Of the run and of the model that it makes.
        display_name: Of the pipeline job; empty where none was given.
        pipeline_root: Where a pipeline job's files go; empty where none was given.
        cloud: What the request says of Google Cloud, in the words of the REST body.
        problems: What is wrong with how it was given, to be told with what is wrong with its
            values.
        published: Whether it is a published REST body: what it does not say, it means as published.
    """

    template: str
    values: Mapping[str, Any]
    labels: Mapping[str, str] = field(default_factory=dict)
    display_name: str = ""
    pipeline_root: str = ""
    cloud: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    published: bool = False

    @property
    def notes(self) -> tuple[str, ...]:
        """What the request says that has no effect on this machine."""
        notes = [f"{name} has no effect on this machine." for name in self.cloud]
        if self.pipeline_root:
            notes.append("gcsOutputDirectory has no effect on this machine: see --output-dir.")
        return tuple(notes)

    def parameters(self) -> dict[str, Any]:
        """Checks the values against the template's parameters.

        Returns:
            The parameters given, each in its own type.

        Raises:
            UserError: For how it was given, and all that is unknown, missing or of a wrong type.
        """
        parsed, problems = sort_out(self.values, TEMPLATES[self.template])
        raise_all([*self.problems, *problems])
        return parsed


def read_parameters_file(path: Path) -> dict[str, Any]:
    """Reads parameter values from YAML or JSON.

    Args:
        path: A mapping of parameter names to values.

    Returns:
        The values.

    Raises:
        UserError: If the file cannot be read or is no mapping.
    """
    document = parse_yaml(read_text(path), str(path))
    if not isinstance(document, dict):
        raise UserError(
            Problem("is no mapping.", str(path), allowed="lines such as `train_steps: 300`")
        )
    return {str(name): value for name, value in document.items()}


def read_request(path: Path) -> Request:
    """Reads the body of a published REST request (``projects.locations.pipelineJobs.create``).

    Args:
        path: The JSON file.

    Returns:
        The request; what is wrong with its labels, its template or its fields of Google Cloud is
        among its problems.

    Raises:
        UserError: If the file is no such body.
    """
    body = parse_json(read_text(path), str(path))
    config = body.get("runtimeConfig") if isinstance(body, dict) else None
    values = config.get("parameterValues") if isinstance(config, dict) else None
    if not isinstance(body, dict) or not isinstance(config, dict) or not isinstance(values, dict):
        raise UserError(
            Problem(
                "is no pipeline job request.",
                str(path),
                allowed="a JSON object with runtimeConfig.parameterValues and templateUri",
            )
        )
    problems: list[Problem] = []
    template, labels, cloud = DEFAULT_TEMPLATE, {}, {}
    with collect(problems):
        template = _template_of(body, path)
    with collect(problems):
        labels = _labels_of(body, path)
    with collect(problems):
        cloud = _cloud_fields_of(body, path)
    return Request(
        template=template,
        values=values,
        labels=labels,
        display_name=str(body.get("displayName") or ""),
        pipeline_root=str(config.get("gcsOutputDirectory") or ""),
        cloud=cloud,
        problems=tuple(problems),
        published=True,
    )


def _cloud_fields_of(body: Mapping[str, Any], path: Path) -> dict[str, Any]:
    words: dict[type, str] = {str: "text", dict: "a JSON object", list: "a list"}
    given = {name: body[name] for name in _CLOUD_FIELDS if body.get(name)}
    raise_all(
        [
            Problem(f"{short(value)} is not {words[kind]}.", f"{path}: {name}", words[kind])
            for name, value in given.items()
            if not isinstance(value, kind := _CLOUD_FIELDS[name])
        ]
    )
    return given


def _labels_of(body: Mapping[str, Any], path: Path) -> dict[str, str]:
    labels = body.get("labels") or {}
    if isinstance(labels, dict) and all(isinstance(value, str) for value in labels.values()):
        return labels
    raise UserError(
        Problem("labels are no texts.", f"{path}: labels", allowed="a JSON object of strings")
    )


def _template_of(body: Mapping[str, Any], path: Path) -> str:
    uri = str(body.get("templateUri") or DEFAULT_TEMPLATE)
    for name in TEMPLATES:
        if name in uri.split("/") or name == uri:
            return name
    raise UserError(
        Problem(
            f"no template of ours stands for {one_line(uri)}.",
            where=f"{path}: templateUri",
            allowed=", ".join(TEMPLATES),
        )
    )
