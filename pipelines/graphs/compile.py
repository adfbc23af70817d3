"""Compiles a pipeline or a component to YAML, the same bytes each time."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from kfp_llm_tuning.components import __version__
from kfp_llm_tuning.components.common.images import REGISTRY

if TYPE_CHECKING:
    from kfp.dsl.base_component import BaseComponent

    from kfp_llm_tuning.pipelines.graphs.platform import Platform


def template_text(template: str, platform: Platform, image_registry: str = REGISTRY) -> str:
    """Compiles a template.

    Args:
        template: The pipeline's name.
        platform: What it is compiled for.
        image_registry: Where the images are.

    Returns:
        YAML: the pipeline spec, and in a second document what Kubernetes is told besides, where
        there is any.
    """
    from kfp_llm_tuning.pipelines.graphs.build import build

    return compiled(build(template, platform), image_registry)


def compiled(component: BaseComponent, image_registry: str) -> str:
    """Compiles a pipeline or a component.

    Args:
        component: Ours, or one that is made of ours.
        image_registry: Where our images are.

    Returns:
        YAML.
    """
    from kfp import compiler

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "compiled.yaml"
        compiler.Compiler().compile(component, str(path))
        text = path.read_text(encoding="utf-8").replace(REGISTRY, image_registry)
    return _with_version(text)


def _with_version(text: str) -> str:
    """Names our version at the end of the header: kfp looks for the description in its place."""
    lines = text.splitlines(keepends=True)
    end = next(number for number, line in enumerate(lines) if not line.startswith("#"))
    return "".join([*lines[:end], f"# Version: kfp-llm-tuning {__version__}\n", *lines[end:]])
