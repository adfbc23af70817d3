"""From a tuned model to one that is registered and deployed."""

from typing import Any, NamedTuple

from kfp import dsl
from kfp.dsl import HTML, Artifact, Input

from kfp_llm_tuning.components.common import images
from kfp_llm_tuning.components.parameters.pipeline import RootInputs as Defaults
from kfp_llm_tuning.pipelines.graphs.parts import OURS, Parts
from kfp_llm_tuning.pipelines.graphs.platform import Platform, Role


class DeploymentOutputs(NamedTuple):
    """The two root outputs of the published templates."""

    model_resource_name: str
    endpoint_resource_name: str


def deployment_graph(platform: Platform, parts: Parts = OURS) -> dsl.base_component.BaseComponent:
    """Builds the graph for a platform.

    Args:
        platform: Where models are registered.
        parts: The components of its tasks.

    Returns:
        The graph, to be called as one task of a pipeline.
    """

    @dsl.pipeline(name="deployment-graph", description="Registers and deploys a tuned model.")
    def graph(
        saved_model: Input[Artifact],
        tensorboard_metrics: Input[Artifact],
        evaluation: Input[Artifact],
        validation_report: Input[HTML],
        model_display_name: str,
        large_model_reference: str,
        project: str = "",
        location: str = "",
        regional_endpoint: str = "",
        encryption_spec_key_name: str = Defaults.encryption_spec_key_name,
        service_account: str = "",
        parent_model: str = Defaults.parent_model,
        version_aliases: str = Defaults.version_aliases,
        upload_model: bool = True,
        upload_reason: str = "",
        deploy_model: bool = Defaults.deploy_model,
        endpoint_resource_name: str = Defaults.endpoint_resource_name,
        traffic_percentage: int = Defaults.traffic_percentage,
        registry_uri: str = platform.registry_uri,
    ) -> DeploymentOutputs:
        place = {
            "project": project,
            "location": location,
            "regional_endpoint": regional_endpoint,
            "encryption_spec_key_name": encryption_spec_key_name,
            "registry_uri": registry_uri,
            "run_id": platform.run_id,
        }
        uploaded = parts.upload_llm_model(
            saved_model=saved_model,
            tensorboard_metrics=tensorboard_metrics,
            evaluation=evaluation,
            validation_report=validation_report,
            model_display_name=model_display_name,
            model_reference_name=large_model_reference,
            serving_image=images.SERVING_IMAGE,
            serving_gpu_image=images.SERVING_GPU_IMAGE,
            parent_model=parent_model,
            version_aliases=version_aliases,
            upload_model=upload_model,
            upload_reason=upload_reason,
            labels=platform.labels,
            **place,
        )
        deployed = parts.create_endpoint_and_deploy_model(
            model_resource_name=uploaded.outputs["model_resource_name"],
            model_reference_name=large_model_reference,
            display_name=model_display_name,
            service_account=service_account,
            deploy_model=deploy_model,
            endpoint_resource_name=endpoint_resource_name,
            traffic_percentage=traffic_percentage,
            **place,
        )
        for task in (uploaded, deployed):
            # Done again, they find what they have made; only so is it noticed that it is gone.
            task.set_caching_options(False)
            platform.equip(task, Role.REGISTRY)
        if platform.kserve:
            served = parts.deploy_to_kserve(
                model_resource_name=uploaded.outputs["model_resource_name"],
                saved_model_uri=uploaded.outputs["saved_model_uri"],
                display_name=model_display_name,
                model_reference_name=large_model_reference,
                run_id=platform.run_id,
                deploy_model=deploy_model,
                **platform.kserve,
            )
            served.set_caching_options(False)
            platform.equip(served, Role.REGISTRY)
        return DeploymentOutputs(
            model_resource_name=uploaded.outputs["model_resource_name"],
            endpoint_resource_name=deployed.outputs["endpoint_resource_name"],
        )

    return graph


def decisions(validated: dsl.PipelineTask) -> dict[str, Any]:
    """Gives what validate-pipeline decides, as inputs of the graph.

    Args:
        validated: The task of validate-pipeline.

    Returns:
        An output for each input.
    """
    same = ("regional_endpoint", "service_account", "model_display_name", "registry_uri")
    return {
        "location": validated.outputs["model_location"],
        **{name: validated.outputs[name] for name in same},
    }
