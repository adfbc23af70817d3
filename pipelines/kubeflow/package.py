"""A compiled pipeline as Kubeflow Pipelines registers it: once, however often it is run."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kfp_llm_tuning.components import __version__
from kfp_llm_tuning.components.common.platforms import KUBEFLOW
from kfp_llm_tuning.pipelines.graphs.platform import Platform
from kfp_llm_tuning.pipelines.kubeflow.connection import KubeflowApi, ensure
from kfp_llm_tuning.pipelines.kubeflow.lists import list_all, named
from kfp_llm_tuning.pipelines.templates.template import (
    TemplateSource,
    compiled_for,
    template_documents,
)

_DIGEST_LENGTH = 16


@dataclass(frozen=True)
class Package:
    """A compiled pipeline.

    Attributes:
        name: The pipeline's name.
        documents: The pipeline spec, and after it what Kubernetes is told besides.
    """

    name: str
    documents: Sequence[Mapping[str, Any]]

    @property
    def version(self) -> str:
        """Name of the version that has this content."""
        text = json.dumps(self.documents, sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_LENGTH]
        return f"kfp-llm-tuning-{__version__}-{digest}"

    @property
    def place(self) -> dict[str, Any]:
        """What validate-pipeline is told of the platform."""
        return compiled_for(self.documents[0])

    def as_struct(self) -> dict[str, Any]:
        """Writes it as a request has it that names no registered version."""
        spec, *rest = self.documents
        return {"pipeline_spec": spec, "platform_spec": rest[0]} if rest else dict(spec)


@dataclass(frozen=True)
class RegisteredVersion:
    """A version that is there, by the ids of its pipeline and of itself."""

    pipeline_id: str
    version_id: str

    def as_reference(self) -> dict[str, str]:
        """Writes it as runs name it."""
        return {"pipeline_id": self.pipeline_id, "pipeline_version_id": self.version_id}


def read_package(
    template: str, source: TemplateSource, platform: Callable[[], Platform]
) -> Package:
    """Compiles or reads a template.

    Args:
        template: The pipeline's name.
        source: Where it comes from.
        platform: Makes the platform that it is compiled for, where there is no file.

    Returns:
        The package.

    Raises:
        UserError: If a file is none of ours, another one, or compiled for another platform, or if
            images have no registry.
    """
    return Package(template, template_documents(template, source, KUBEFLOW.name, platform))


def register(api: KubeflowApi, package: Package) -> RegisteredVersion:
    """Registers a package as a version of its pipeline, unless it is there.

    Args:
        api: Where.
        package: What.

    Returns:
        The version.
    """
    pipeline = ensure(
        lambda: named(_pipelines(api), package.name),
        lambda: api.once(
            api.client.pipelines.pipeline_service_create_pipeline,
            pipeline={
                "display_name": package.name,
                "description": "Compiled by kfp-llm-tuning.",
                **api.namespaced,
            },
        ),
    )
    identifier = str(pipeline.pipeline_id)
    version = ensure(
        lambda: named(_versions(api, identifier), package.version),
        lambda: _upload(api, identifier, package),
    )
    return RegisteredVersion(identifier, str(version.pipeline_version_id))


def pipeline_names(api: KubeflowApi) -> dict[str, str]:
    """Lists the names of the pipelines by their ids."""
    asked = api.client.pipelines.pipeline_service_list_pipelines
    found = list_all(lambda **options: api.read(asked, **api.namespaced, **options))
    return {str(one.pipeline_id): str(one.display_name) for one in found}


def _pipelines(api: KubeflowApi) -> Callable[..., Any]:
    return lambda **options: api.once(
        api.client.pipelines.pipeline_service_list_pipelines, **api.namespaced, **options
    )


def _versions(api: KubeflowApi, pipeline_id: str) -> Callable[..., Any]:
    return lambda **options: api.once(
        api.client.pipelines.pipeline_service_list_pipeline_versions, pipeline_id, **options
    )


def _upload(api: KubeflowApi, pipeline_id: str, package: Package) -> Any:
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text = yaml.dump_all(package.documents, Dumper=dumper, sort_keys=False)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{package.name}.yaml"
        path.write_text(text, encoding="utf-8")
        return api.once(
            api.client.pipeline_uploads.upload_pipeline_version,
            str(path),
            name=package.version,
            pipelineid=pipeline_id,
            description=f"Compiled by kfp-llm-tuning {__version__}.",
        )
