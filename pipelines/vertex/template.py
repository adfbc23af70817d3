"""The pipeline spec that a job is sent with: compiled on the spot, or read from a compiled file."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.images import REGISTRY
from kfp_llm_tuning.pipelines.parameters import TEMPLATES

_REGISTRY_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(:[0-9]{1,5})?(/[\w.-]+)*")
_REGISTRY_FORM = "LOCATION-docker.pkg.dev/PROJECT/REPOSITORY"


def pipeline_spec(template: str, image_registry: str) -> dict[str, Any]:
    """Compiles one of our templates for Vertex AI.

    Args:
        template: The pipeline's name.
        image_registry: Where its images are.

    Returns:
        The pipeline spec.

    Raises:
        UserError: If there is no registry, or if its name is malformed.
    """
    _check_registry(image_registry, "kfp-llm-tuning submit --image-registry " + _REGISTRY_FORM)
    from kfp_llm_tuning.pipelines.compile import compile_template

    spec: dict[str, Any] = compile_template(
        template, platform="vertex", image_registry=image_registry
    )
    return spec


def read_pipeline_spec(path: Path, image_registry: str) -> dict[str, Any]:
    """Reads a template that ``kfp-llm-tuning compile`` wrote.

    Args:
        path: The YAML file.
        image_registry: Takes the place of the placeholder; empty where the file names a registry.

    Returns:
        The pipeline spec.

    Raises:
        UserError: If the file is no compiled template of ours, or if its images have no registry.
    """
    spec = _load(path)
    if template_of(spec) not in TEMPLATES:
        raise UserError(
            Problem("is no compiled template of ours.", str(path), allowed=", ".join(TEMPLATES))
        )
    text = json.dumps(spec)
    if REGISTRY not in text:
        return spec
    compile_command = f"kfp-llm-tuning compile --image-registry {_REGISTRY_FORM}"
    _check_registry(image_registry, compile_command, str(path))
    filled: dict[str, Any] = json.loads(text.replace(REGISTRY, image_registry))
    return filled


def template_of(spec: dict[str, Any]) -> str:
    """Reads the name of the template that a spec was compiled from; empty where it says none."""
    info = spec.get("pipelineInfo")
    return str(info.get("name", "")) if isinstance(info, dict) else ""


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


def _load(path: Path) -> dict[str, Any]:
    import yaml

    # The loader written in C, where there is one, is ten times as fast.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        # Platform-specific settings may stand in a second document; ours have none.
        documents = yaml.load_all(path.read_text(encoding="utf-8-sig"), Loader=loader)
        document = next(documents, None)
    except OSError as error:
        raise UserError(Problem(f"cannot be read: {error.strerror}.", str(path))) from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(Problem(f"is not YAML: {error}", str(path))) from error
    return document if isinstance(document, dict) else {}


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
