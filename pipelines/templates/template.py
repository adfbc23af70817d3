"""The template that a job is sent with: compiled on the spot, or read from a compiled file."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfp_llm_tuning.components.common.documents import parse_yaml_documents, read_text
from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.images import REGISTRY
from kfp_llm_tuning.components.parameters.pipeline import TEMPLATES

if TYPE_CHECKING:
    from kfp_llm_tuning.pipelines.graphs.platform import Platform

_REGISTRY_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(:[0-9]{1,5})?(/[\w.-]+)*")
# Inputs of validate-pipeline that say what a template was compiled for.
_PLACE = ("platform", "platform_registry_uri", "platform_accelerator", "platform_train_job")
_REGISTRY_FORM = "LOCATION-docker.pkg.dev/PROJECT/REPOSITORY"


@dataclass(frozen=True)
class TemplateSource:
    """Where a template comes from.

    Attributes:
        image_registry: Where the images are; empty where the file says it.
        file: A compiled template; None to compile one on the spot.
        caching: Whether outputs of earlier runs may be reused where the template allows it.
    """

    image_registry: str = ""
    file: Path | None = None
    caching: bool = True


def template_documents(
    template: str, source: TemplateSource, platform_name: str, platform: Callable[[], Platform]
) -> list[dict[str, Any]]:
    """Compiles or reads a template.

    Args:
        template: The pipeline's name.
        source: Where it comes from.
        platform_name: The platform that a file must be compiled for.
        platform: Makes that platform, where there is no file.

    Returns:
        The pipeline spec, and after it what Kubernetes is told besides, where there is any.

    Raises:
        UserError: If a file is no template of ours or another one, or compiled for another
            platform, or if images have no registry.
    """
    if source.file is None:
        documents = _compiled(template, source.image_registry, platform)
    else:
        documents = read_documents(source.file, source.image_registry)
        _check_kind(documents[0], template, platform_name, str(source.file))
    return documents if source.caching else [without_caching(documents[0]), *documents[1:]]


def read_documents(path: Path, image_registry: str) -> list[dict[str, Any]]:
    """Reads a template that ``kfp-llm-tuning compile`` wrote.

    Args:
        path: The YAML file.
        image_registry: Takes the place of the placeholder; empty where the file names a registry.

    Returns:
        Its documents, the pipeline spec first.

    Raises:
        UserError: If the file is no compiled template of ours, or if its images have no registry.
    """
    documents = _load(path)
    if not documents or template_of(documents[0]) not in TEMPLATES:
        raise UserError(
            Problem("is no compiled template of ours.", str(path), allowed=", ".join(TEMPLATES))
        )
    text = json.dumps(documents)
    if REGISTRY not in text:
        return documents
    compile_command = f"kfp-llm-tuning compile --image-registry {_REGISTRY_FORM}"
    _check_registry(image_registry, compile_command, str(path))
    filled: list[dict[str, Any]] = json.loads(text.replace(REGISTRY, image_registry))
    return filled


def template_of(spec: Mapping[str, Any]) -> str:
    """Reads the name of the template that a spec was compiled from; empty where it says none."""
    info = spec.get("pipelineInfo")
    return str(info.get("name", "")) if isinstance(info, dict) else ""


def compiled_for(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Reads what validate-pipeline is told of the platform that a template was compiled for.

    Args:
        spec: The pipeline spec.

    Returns:
        The inputs whose values are compiled in, such as ``platform``; placeholders are left out.
    """
    tasks = spec.get("root", {}).get("dag", {}).get("tasks", {})
    parameters = tasks.get("validate-pipeline", {}).get("inputs", {}).get("parameters", {})
    constants = {
        name: given.get("runtimeValue", {}).get("constant") for name, given in parameters.items()
    }
    return {
        name: value
        for name, value in constants.items()
        if name in _PLACE and value is not None and "{{$" not in str(value)
    }


def without_caching(spec: dict[str, Any]) -> dict[str, Any]:
    """Turns off the reuse of earlier tasks' outputs.

    Args:
        spec: A pipeline spec, which is not changed.

    Returns:
        The spec in which every task runs.
    """
    changed: dict[str, Any] = json.loads(json.dumps(spec))
    for component in (changed.get("root", {}), *changed.get("components", {}).values()):
        for task in component.get("dag", {}).get("tasks", {}).values():
            task["cachingOptions"] = {}
    return changed


def _check_kind(spec: Mapping[str, Any], template: str, platform_name: str, where: str) -> None:
    if (name := template_of(spec)) != template:
        what = f"is {name}, but the request is for {template}."
        raise UserError(Problem(what, where, fix=f"Give --template {name}."))
    if (name := compiled_for(spec).get("platform", platform_name)) != platform_name:
        what = f"is compiled for {name}, not for {platform_name}."
        fix = f"kfp-llm-tuning compile --platform {platform_name}"
        raise UserError(Problem(what, where, fix=fix))


def _compiled(
    template: str, image_registry: str, platform: Callable[[], Platform]
) -> list[dict[str, Any]]:
    _check_registry(image_registry, "kfp-llm-tuning submit --image-registry " + _REGISTRY_FORM)
    from kfp_llm_tuning.pipelines.graphs.compile import template_text

    return parse_yaml_documents(template_text(template, platform(), image_registry), template)


def _load(path: Path) -> list[dict[str, Any]]:
    documents = parse_yaml_documents(read_text(path), str(path))
    return [document for document in documents if isinstance(document, dict)]


def _check_registry(registry: str, command: str, where: str = "") -> None:
    if not registry or registry == REGISTRY:
        raise UserError(
            Problem(
                f"the images have no registry ({REGISTRY} is a placeholder).",
                where or "--image-registry",
                fix=f"Say where `make images` pushed them: {command}",
            )
        )
    if not _REGISTRY_NAME.fullmatch(registry):
        raise UserError(
            Problem(f"{registry!r} is no registry.", "--image-registry", _REGISTRY_FORM)
        )
