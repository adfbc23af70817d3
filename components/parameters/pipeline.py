"""The root inputs of the pipelines: the published ones, and ours, which are all optional."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from kfp_llm_tuning.components.common.dataset_formats import FormatName
from kfp_llm_tuning.components.common.metrics import GATE_METRICS, PRIMARY_METRICS_ALLOWED
from kfp_llm_tuning.components.common.platforms import KUBEFLOW, VERTEX
from kfp_llm_tuning.components.common.train_on import TrainOn
from kfp_llm_tuning.components.parameters.row import Parameter, row, rows_of

# The root input that gives the tuner's arguments that are no root inputs of their own.
TUNER_ARGUMENTS = "tuner_arguments"
TEXT_TEMPLATE, CHAT_TEMPLATE = "tune-large-model", "tune-large-chat-model"
_VERTEX = (VERTEX.name,)
# Vertex AI's and Kubernetes' own limits are higher; nobody has tried more.
MOST_MACHINES = 64
# A run of more would take years.
_MOST_STEPS = 10_000_000

_published = partial(row, published=True, source="published templates")
_own = partial(row, source="kfp-llm-tuning")


@dataclass(frozen=True, kw_only=True)
class RootInputs:
    """Root inputs of ``tune-large-model``, as published in v2.0.0, and ours after them."""

    project: str = _published(
        help="Google Cloud project; any name on other platforms.", group="required"
    )
    model_display_name: str = _published(
        help="Name of the tuned model and of its endpoint; {date} and {time} stand for the run's.",
        group="required",
        allowed="1 to 128 printable characters",
    )
    location: str = _published(
        "",
        help="Region that the model is uploaded to; empty: the pipeline's region.",
        group="Vertex AI",
        platforms=_VERTEX,
    )
    large_model_reference: str = _published(
        "text-bison@001",
        help="What to tune: a name of the table, hf://org/name, or a folder.",
        group="required",
    )
    train_steps: int = _published(
        300,
        help="Batches to train on; 0 or less: the method's own.",
        maximum=_MOST_STEPS,
        allowed=f"up to {_MOST_STEPS:,}; 0 or less for the method's own",
        unit="steps",
    )
    learning_rate: float = _published(
        -1.0,
        help="Learning rate; negative: the one recommended for the model. The legacy method tune "
        "recommends 3.0; others take at most 1.",
        # learning_rates.check_learning_rate knows the greatest one of each method.
        allowed="up to 1, with the method tune up to 1,000; negative for the model's own",
    )
    learning_rate_multiplier: float = _published(
        1.0, help="Multiplies the learning rate.", minimum=0, maximum=1000
    )
    dataset_uri: str = _published(
        "",
        help="Training data: a file, folder, pattern, hf://org/name; a,b are two.",
        group="required",
    )
    dataset_name: str = _published(
        "",
        help="Vertex AI managed dataset, instead of dataset_uri.",
        group="data",
        platforms=_VERTEX,
    )
    default_context: str = _published(
        "", help="Context of chat examples that have none.", group="data"
    )
    evaluation_data_uri: str = _published("", help="Evaluation data, as dataset_uri.", group="data")
    evaluation_interval: int = _published(
        20,
        help="Steps between two evaluations.",
        group="evaluation",
        minimum=1,
        maximum=_MOST_STEPS,
        unit="steps",
    )
    enable_early_stopping: bool = _published(
        True,
        help="Stop when evaluations no longer get better; needs evaluation data.",
        group="evaluation",
    )
    enable_checkpoint_selection: str = _published(
        "default",
        help="Keep the best checkpoint, not the last: true, false or default.",
        group="evaluation",
        choices=("true", "false", "default"),
        any_case=True,
    )
    accelerator_type: str = _published(
        "",
        help="GPU; empty: by the region. TPU, as published, is refused: nothing tunes on it.",
        group="Vertex AI",
        allowed="GPU",
    )
    tensorboard_resource_id: str = _published(
        "",
        help="Vertex AI TensorBoard to upload to: its resource name, or its number alone.",
        group="Vertex AI",
        platforms=_VERTEX,
    )
    encryption_spec_key_name: str = _published(
        "", help="Customer-managed encryption key.", group="Vertex AI", platforms=_VERTEX
    )
    tpu_training_skip_cmek: bool = _published(
        False,
        help="As published; no effect, for nothing tunes on TPU.",
        group="Vertex AI",
        platforms=_VERTEX,
    )
    tuning_method: str = _published(
        "tune_v2",
        help="tune_v2 (adapter) or the legacy tune.",
        # tune_v2 is the model's own recommended way; tune its published predecessor; the others
        # force one.
        choices=("tune_v2", "tune", "adapter", "full"),
    )
    api_endpoint: str = _published(
        "aiplatform.googleapis.com/ui",
        help="Vertex AI endpoint without its region.",
        group="Vertex AI",
        platforms=_VERTEX,
    )
    evaluation_output_root_dir: str = _published(
        "",
        help="Folder that gets a copy of the evaluation and of both models' predictions.",
        group="evaluation",
        templates=(TEXT_TEMPLATE,),
    )
    max_context_length: str = _published(
        "",
        help="8k or 32k; empty: the model's own.",
        group="data",
        choices=("", "8k", "32k"),
        unit="tokens",
        templates=(TEXT_TEMPLATE,),
    )

    epochs: float = _own(
        0.0,
        help="Passes over the training data, in the place of train_steps; 0: train_steps decides; "
        "negative: the steps that are advised for the task found in the data.",
        minimum=-1,
        maximum=1000,
        allowed="up to 1,000; 0 for train_steps, -1 for what is advised for the task",
        unit="epochs",
    )
    evaluation_fraction: float = _own(
        0.0,
        help="Share of the training data that is held out to evaluate on, in the place of "
        "evaluation_data_uri; what is nearly the same stays on one side.",
        group="data",
        minimum=0,
        maximum=0.5,
    )
    seed: int = _own(
        0,
        help="Seed of weights, order, dropout and the choice of what is held out.",
        minimum=0,
        maximum=2**32 - 1,
    )
    strict_validation: bool = _own(False, help="Refuse the dataset on warnings too.", group="data")
    primary_metric: str = _own(
        "",
        help="Metric that decides whether the model is good: a name, or module:function of your "
        "own; empty: the task's, such as exact_match for labels.",
        group="evaluation",
        allowed=PRIMARY_METRICS_ALLOWED,
    )
    gate_metric: str = _own(
        "",
        help="Metric that decides on registration, such as primary or exact_match; empty: no gate.",
        group="evaluation",
        choices=("", *GATE_METRICS),
    )
    gate_threshold: float = _own(
        0.0,
        help="Value that the gate metric must reach.",
        group="evaluation",
        minimum=-sys.float_info.max,
        maximum=sys.float_info.max,
        allowed="a finite number",
    )
    tuning_machine: str = _own(
        "",
        help="Machine to tune on, a name of machine_specs.yaml; empty: the accelerator's.",
        group="Vertex AI",
        platforms=_VERTEX,
    )
    tuning_machine_count: int = _own(
        1,
        help="Machines that share every batch; each needs an example of it.",
        minimum=1,
        maximum=MOST_MACHINES,
        unit="machines",
        platforms=(KUBEFLOW.name, VERTEX.name),
    )
    tuning_strategy: str = _own(
        "",
        help="How the machine is obtained: STANDARD, SPOT or FLEX_START; empty: STANDARD.",
        group="Vertex AI",
        choices=("", "STANDARD", "SPOT", "FLEX_START"),
        any_case=True,
        platforms=_VERTEX,
    )
    tuning_max_wait: str = _own(
        "86400s",
        help="Longest wait for a machine of FLEX_START, in seconds; 0s: no limit.",
        group="Vertex AI",
        unit="seconds",
        platforms=_VERTEX,
    )
    tuning_timeout: str = _own(
        "604800s",
        help="Longest time of tuning, in seconds.",
        group="Vertex AI",
        unit="seconds",
        platforms=_VERTEX,
    )
    restart_on_preemption: bool = _own(
        True,
        help="Go on from the last checkpoint when the machine is taken away.",
        group="Vertex AI",
        platforms=_VERTEX,
    )
    network_attachment: str = _own(
        "",
        help="Private Service Connect network attachment that the tuner is reached through.",
        group="Vertex AI",
        platforms=_VERTEX,
    )
    parent_model: str = _own(
        "",
        help="Registered model that gets the tuned one as a new version; empty: a new model.",
        group="registry and deployment",
        platforms=_VERTEX,
    )
    version_aliases: str = _own(
        "",
        help="Aliases of the new version, separated by commas.",
        group="registry and deployment",
        platforms=_VERTEX,
    )
    endpoint_resource_name: str = _own(
        "",
        help="Endpoint to deploy to; empty: one that is made for the model.",
        group="registry and deployment",
        platforms=_VERTEX,
    )
    traffic_percentage: int = _own(
        100,
        help="Share of the endpoint's traffic that the new version takes, in percent.",
        group="registry and deployment",
        minimum=0,
        maximum=100,
        unit="percent",
        platforms=_VERTEX,
    )
    deploy_model: bool = _own(
        True, help="Deploy the registered model.", group="registry and deployment"
    )
    registry_uri: str = _own(
        "",
        help="MLflow tracking URI to register the model at; empty: the platform's own registry.",
        group="registry and deployment",
    )
    dataset_format: str = _own(
        "",
        help="Format of the rows of both sets; empty: found from the rows of each.",
        group="data",
        choices=("", *(name.value for name in FormatName)),
    )
    train_on: str = _own(
        "all",
        help="Answers of a training conversation that are learned: all, or the last.",
        group="data",
        choices=tuple(choice.value for choice in TrainOn),
    )
    tuner_arguments: dict[str, Any] = _own(
        {},
        help="Further arguments of the tuner, such as batch_size and lora_rank, by name.",
        allowed="a JSON object of the arguments in docs/parameters.md",
    )


# The published chat template lacks these; ours has them, optional as in the text template.
_EVALUATION = (
    "evaluation_data_uri",
    "evaluation_interval",
    "enable_early_stopping",
    "enable_checkpoint_selection",
)


def _chat_inputs() -> dict[str, Parameter]:
    chat = {name: entry for name, entry in TEXT.items() if CHAT_TEMPLATE in _templates_of(entry)}
    for name in _EVALUATION:
        chat[name] = dataclasses.replace(chat.pop(name), published=False)
    reference = chat["large_model_reference"]
    chat["large_model_reference"] = dataclasses.replace(reference, default="chat-bison@001")
    return chat


def _templates_of(entry: Parameter) -> tuple[str, ...]:
    return entry.templates or (TEXT_TEMPLATE, CHAT_TEMPLATE)


TEXT: Mapping[str, Parameter] = rows_of(RootInputs)
CHAT: Mapping[str, Parameter] = _chat_inputs()
TEMPLATES: Mapping[str, Mapping[str, Parameter]] = {TEXT_TEMPLATE: TEXT, CHAT_TEMPLATE: CHAT}
