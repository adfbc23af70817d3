"""What a pipeline was asked to do, with its values in their own types."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, get_type_hints

from kfp_llm_tuning.components.common.errors import Problem

PLATFORMS = ("local", "kubeflow", "vertex")
TEXT_TEMPLATE, CHAT_TEMPLATE = "tune-large-model", "tune-large-chat-model"
TEMPLATES = (TEXT_TEMPLATE, CHAT_TEMPLATE)
TUNING_STRATEGIES = ("STANDARD", "SPOT", "FLEX_START")
COMPILED_ACCELERATORS = ("GPU", "TPU", "CPU")
DEFAULT_EVALUATION_INTERVAL = 20
_TYPE_NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


@dataclass(frozen=True)
class PipelineParameters:
    """What a pipeline was asked to do; names and defaults are those of its root inputs.

    Attributes:
        model_display_name: Name of the tuned model.
        project: Google Cloud project; any name, or none, on other platforms.
        model: The root input ``large_model_reference``.
        location: Region that the model is uploaded to; empty means the pipeline's.
        pipeline_region: Region that the pipeline runs in.
        dataset_uri: Training data.
        dataset_name: Vertex AI managed dataset, instead.
        default_context: Context of conversations that have none.
        evaluation_data_uri: Evaluation data.
        evaluation_output_root_dir: Where batch evaluation output goes.
        evaluation_interval: Steps between two evaluations.
        enable_early_stopping: Stop when evaluations no longer get better.
        enable_checkpoint_selection: "true", "false" or "default", in any case.
        train_steps: Batches to train on.
        learning_rate: Negative means the model's own.
        learning_rate_multiplier: Factor on the learning rate.
        tuning_method: A name of ``model_references.TUNING_METHODS``.
        max_context_length: "8k", "32k" or empty.
        seed: Seed of weights, order and dropout.
        accelerator_type: "TPU" or "GPU" in any case, or empty.
        tuning_machine: A name of machine_specs.yaml, or empty.
        tensorboard_resource_id: Vertex AI TensorBoard to upload to.
        encryption_spec_key_name: Customer-managed encryption key.
        tpu_training_skip_cmek: As published; has no effect.
        api_endpoint: Vertex AI's endpoint without its region, or a whole URL.
        service_account: Account that the tuner runs as.
        tuning_strategy: How the machine is obtained: a name of ``TUNING_STRATEGIES``, or empty.
        tuning_max_wait: Longest wait for a machine of FLEX_START.
        tuning_timeout: Longest time of tuning.
        restart_on_preemption: Go on from the last checkpoint when the machine is taken away.
        network_attachment: Private Service Connect network attachment.
        parent_model: Registered model that gets a new version.
        version_aliases: Aliases of the version, separated by commas.
        endpoint_resource_name: Endpoint to deploy to.
        traffic_percentage: Share of the endpoint's traffic, in percent.
        deploy_model: Deploy the registered model.
        run_time: When the run was created, ISO 8601, for dated display names; may be empty.
        gate_metric: Metric that decides on registration.
        gate_threshold: Its limit.
        registry_uri: MLflow tracking URI to register at; empty means the platform's own registry.
        template: Which pipeline: a name of ``TEMPLATES``.
        platform: Where it runs: a name of ``PLATFORMS``.
        platform_registry_uri: The platform's own registry where that is an MLflow tracking URI.
        platform_accelerator: "GPU", "TPU" or "CPU" where the pipeline was compiled for a machine.
    """

    model_display_name: str
    project: str = ""
    model: str = "text-bison@001"
    location: str = ""
    pipeline_region: str = ""
    dataset_uri: str = ""
    dataset_name: str = ""
    default_context: str = ""
    evaluation_data_uri: str = ""
    evaluation_output_root_dir: str = ""
    evaluation_interval: int = DEFAULT_EVALUATION_INTERVAL
    enable_early_stopping: bool = True
    enable_checkpoint_selection: str = "default"
    train_steps: int = 300
    learning_rate: float = -1.0
    learning_rate_multiplier: float = 1.0
    tuning_method: str = "tune_v2"
    max_context_length: str = ""
    seed: int = 0
    accelerator_type: str = ""
    tuning_machine: str = ""
    tensorboard_resource_id: str = ""
    encryption_spec_key_name: str = ""
    tpu_training_skip_cmek: bool = False
    api_endpoint: str = "aiplatform.googleapis.com/ui"
    service_account: str = ""
    tuning_strategy: str = ""
    tuning_max_wait: str = "86400s"
    tuning_timeout: str = "604800s"
    restart_on_preemption: bool = True
    network_attachment: str = ""
    parent_model: str = ""
    version_aliases: str = ""
    endpoint_resource_name: str = ""
    traffic_percentage: int = 100
    deploy_model: bool = True
    run_time: str = ""
    gate_metric: str = ""
    gate_threshold: float = 0.0
    registry_uri: str = ""
    template: str = TEXT_TEMPLATE
    platform: str = "local"
    platform_registry_uri: str = ""
    platform_accelerator: str = ""

    @property
    def on_vertex(self) -> bool:
        """Whether regions, buckets and Google Cloud names matter."""
        return self.platform == "vertex"

    @property
    def registry(self) -> str:
        """Where the model is registered: an MLflow tracking URI; empty for the Model Registry."""
        return self.registry_uri or self.platform_registry_uri

    @property
    def model_location(self) -> str:
        """Region that the model is uploaded to."""
        return self.location or self.pipeline_region


def with_right_types(given: PipelineParameters) -> tuple[PipelineParameters, list[Problem]]:
    """Sets right what JSON does to numbers and booleans.

    Args:
        given: Values of any type.

    Returns:
        The parameters, where a value of a wrong type gave way to its default, and a problem for
        every such value.
    """
    problems: list[Problem] = []
    values: dict[str, Any] = {}
    hints = get_type_hints(PipelineParameters)
    for field in dataclasses.fields(given):
        value = _plain(getattr(given, field.name), hints[field.name], field.name)
        if type(value) is not hints[field.name]:
            kind = _TYPE_NAMES[hints[field.name]]
            problems.append(Problem(f"{value!r} is not {kind}.", field.name, kind))
            value = "-" if field.default is dataclasses.MISSING else field.default
        values[field.name] = value
    return PipelineParameters(**values), problems


def _plain(value: Any, kind: type, name: str) -> Any:
    if name == "enable_checkpoint_selection" and isinstance(value, bool):
        return str(value).lower()
    if kind is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if kind is float and type(value) is int:
        return float(value) if abs(value) < 1e300 else math.inf
    return value
