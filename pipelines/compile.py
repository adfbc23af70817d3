"""Compiles the templates and the components to YAML, the same bytes each time."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from kfp_llm_tuning.components import __version__
from kfp_llm_tuning.components.common.images import REGISTRY
from kfp_llm_tuning.pipelines import platforms
from kfp_llm_tuning.pipelines.parameters import TEMPLATES

if TYPE_CHECKING:
    from kfp.dsl.base_component import BaseComponent

    from kfp_llm_tuning.pipelines.kubeflow.options import KubeflowOptions
    from kfp_llm_tuning.pipelines.platforms import Platform

_COMPONENTS = "components"


def _default_kubeflow() -> Platform:
    from kfp_llm_tuning.pipelines.kubeflow.options import default_options

    return platforms.kubeflow(default_options())


# The platforms that read compiled files, with their default options; kfp.local is given the
# pipelines themselves.
PLATFORMS: Mapping[str, Callable[[], Platform]] = {
    "vertex": platforms.vertex,
    "kubeflow": _default_kubeflow,
}


@dataclass(frozen=True)
class PlatformOptions:
    """What is compiled in, beside the images' registry.

    Attributes:
        kubeflow: Options of one cluster; None for the default ones, and for a variant of them that
            needs no accelerator.
        prediction_machine: Machine of the batch predictions on Vertex AI, a name of
            machine_specs.yaml; empty: none of their own.
    """

    kubeflow: KubeflowOptions | None = None
    prediction_machine: str = platforms.PREDICTION_MACHINE

    def variants(self, name: str) -> dict[str, Platform]:
        """Lists what is compiled for a platform.

        Args:
            name: A name of ``PLATFORMS``.

        Returns:
            The platforms, by what their files' names end in.
        """
        if name == "vertex":
            return {"": platforms.vertex(self.prediction_machine)}
        if self.kubeflow:
            return {"": platforms.kubeflow(self.kubeflow)}
        from kfp_llm_tuning.pipelines.kubeflow.options import default_options

        options = default_options()
        return {
            "": platforms.kubeflow(options),
            "-cpu": platforms.kubeflow(options.without_accelerators()),
        }


def compile_template(
    template: str, platform: str = "vertex", image_registry: str = REGISTRY
) -> dict[str, Any]:
    """Compiles a template for a platform with its default options.

    Args:
        template: The pipeline's name.
        platform: A name of ``PLATFORMS``.
        image_registry: Where the images are.

    Returns:
        The pipeline spec, without what Kubernetes is told besides.
    """
    text = template_text(template, PLATFORMS[platform](), image_registry)
    spec: dict[str, Any] = next(yaml.safe_load_all(text))
    return spec


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
    from kfp_llm_tuning.pipelines.build import build

    return compiled(build(template, platform), image_registry)


def write_all(
    folder: Path,
    platform_names: list[str],
    image_registry: str,
    options: PlatformOptions | None = None,
) -> list[Path]:
    """Writes every template and every component, and takes away what no longer is one.

    Args:
        folder: Gets a folder for each platform, and ``components``.
        platform_names: Names of ``PLATFORMS``.
        image_registry: Where the images are.
        options: What else is compiled in; None for the defaults.

    Returns:
        The files.
    """
    options = options or PlatformOptions()
    texts = {
        folder / name / f"{template}{ending}.yaml": template_text(
            template, platform, image_registry
        )
        for name in platform_names
        for ending, platform in options.variants(name).items()
        for template in TEMPLATES
    }
    texts |= {
        folder / _COMPONENTS / f"{name}.yaml": text
        for name, text in _component_texts(image_registry).items()
    }
    for parent in {file.parent for file in texts}:
        for stale in set(parent.glob("*.yaml")) - set(texts):
            stale.unlink()
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return list(texts)


def _component_texts(image_registry: str) -> dict[str, str]:
    from kfp_llm_tuning.pipelines.component_list import components_of, stages

    texts: dict[str, str] = {}
    for stage in stages():
        for name, component in components_of(stage):
            if name in texts:
                raise RuntimeError(f"Two components are called {name}.")
            texts[name] = compiled(component, image_registry)
    return texts


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
