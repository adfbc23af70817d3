"""From a tuned model to one that is registered and deployed."""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import HTML, Artifact, Input, Model

from kfp_llm_tuning.components.upload import create_endpoint_and_deploy_model, upload_llm_model
from kfp_llm_tuning.pipelines.platforms import Platform


class DeploymentOutputs(NamedTuple):
    """The two root outputs of the published templates."""

    model_resource_name: str
    endpoint_resource_name: str


def deployment_graph(platform: Platform) -> dsl.base_component.BaseComponent:
    """Builds the graph for a platform.

    Args:
        platform: Where models are registered.

    Returns:
        The graph, to be called as one task of a pipeline.
    """

    @dsl.pipeline(name="deployment-graph", description="Registers and deploys a tuned model.")
    def graph(
        saved_model: Input[Model],
        tensorboard_metrics: Input[Artifact],
        evaluation: Input[Artifact],
        validation_report: Input[HTML],
        model_display_name: str,
        large_model_reference: str,
        upload_model: bool,
        upload_reason: str,
    ) -> DeploymentOutputs:
        uploaded = upload_llm_model(
            saved_model=saved_model,
            tensorboard_metrics=tensorboard_metrics,
            evaluation=evaluation,
            validation_report=validation_report,
            model_display_name=model_display_name,
            model_reference_name=large_model_reference,
            run_id=platform.run_id,
            registry_uri=platform.registry_uri,
            upload_model=upload_model,
            upload_reason=upload_reason,
            labels=platform.labels,
        )
        deployed = create_endpoint_and_deploy_model(
            model_resource_name=uploaded.outputs["model_resource_name"],
            display_name=model_display_name,
            registry_uri=platform.registry_uri,
        )
        return DeploymentOutputs(
            model_resource_name=uploaded.outputs["model_resource_name"],
            endpoint_resource_name=deployed.outputs["endpoint_resource_name"],
        )

    return graph
