"""The compiled files: every template for every platform that reads files, and every component."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfp_llm_tuning.components.common.documents import parse_yaml_documents
from kfp_llm_tuning.components.common.images import REGISTRY
from kfp_llm_tuning.components.common.platforms import KUBEFLOW, VERTEX
from kfp_llm_tuning.components.parameters.pipeline import TEMPLATES
from kfp_llm_tuning.pipelines.graphs.compile import compiled, template_text
from kfp_llm_tuning.pipelines.kubeflow.platform import kubeflow_platform
from kfp_llm_tuning.pipelines.vertex.platform import PREDICTION_MACHINE, vertex_platform

if TYPE_CHECKING:
    from kfp_llm_tuning.pipelines.graphs.platform import Platform
    from kfp_llm_tuning.pipelines.kubeflow.options import KubeflowOptions

_COMPONENTS = "components"


def _default_kubeflow() -> Platform:
    from kfp_llm_tuning.pipelines.kubeflow.options_file import default_options

    return kubeflow_platform(default_options())


# The platforms that read compiled files, with their default options; kfp.local is given the
# pipelines themselves.
PLATFORM_FACTORIES: Mapping[str, Callable[[], Platform]] = {
    VERTEX.name: vertex_platform,
    KUBEFLOW.name: _default_kubeflow,
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
    prediction_machine: str = PREDICTION_MACHINE

    def variants(self, name: str) -> dict[str, Platform]:
        """Lists what is compiled for a platform.

        Args:
            name: A name of ``platforms.JOB_PLATFORM_NAMES``.

        Returns:
            The platforms, by what their files' names end in.
        """
        if name == VERTEX.name:
            return {"": vertex_platform(self.prediction_machine)}
        if self.kubeflow:
            return {"": kubeflow_platform(self.kubeflow)}
        from kfp_llm_tuning.pipelines.kubeflow.options_file import default_options

        options = default_options()
        return {
            "": kubeflow_platform(options),
            "-cpu": kubeflow_platform(options.without_accelerators()),
        }


def compile_template(
    template: str, platform: str = VERTEX.name, image_registry: str = REGISTRY
) -> dict[str, Any]:
    """Compiles a template for a platform with its default options.

    Args:
        template: The pipeline's name.
        platform: A name of ``platforms.JOB_PLATFORM_NAMES``.
        image_registry: Where the images are.

    Returns:
        The pipeline spec, without what Kubernetes is told besides.
    """
    text = template_text(template, PLATFORM_FACTORIES[platform](), image_registry)
    spec: dict[str, Any] = parse_yaml_documents(text, template)[0]
    return spec


def write_all(
    folder: Path,
    platform_names: list[str],
    image_registry: str,
    options: PlatformOptions | None = None,
) -> list[Path]:
    """Writes every template and every component, and takes away what no longer is one.

    Args:
        folder: Gets a folder for each platform, and ``components``.
        platform_names: Names of ``platforms.JOB_PLATFORM_NAMES``.
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
    from kfp_llm_tuning.pipelines.compiling.component_list import components_of, stages

    texts: dict[str, str] = {}
    for stage in stages():
        for name, component in components_of(stage):
            if name in texts:
                raise RuntimeError(f"Two components are called {name}.")
            texts[name] = compiled(component, image_registry)
    return texts
