"""The parameters of the pipelines: the published ones, and ours, which are all optional.

The one definition of every name, type, default and help text: the pipelines take their defaults
from here, and the command its options. Nothing heavy is imported.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field
from typing import Any, get_type_hints

from kfp_llm_tuning.components.common.documents import (
    size_problems,
    unknown_names,
    value_problems,
)
from kfp_llm_tuning.components.common.errors import Problem, raise_all
from kfp_llm_tuning.components.common.wording import short


def _parameter(default: Any = MISSING, *, help: str, published: bool = True) -> Any:
    metadata = {"help": help, "published": published}
    if default is MISSING:
        return field(metadata=metadata)
    return field(default=default, metadata=metadata)


def _own(default: Any, *, help: str) -> Any:
    return _parameter(default, help=help, published=False)


@dataclass(frozen=True, kw_only=True)
class TuneLargeModelParameters:
    """Root inputs of ``tune-large-model``, as published in v2.0.0, and ours after them."""

    project: str = _parameter(help="Google Cloud project; any name on other platforms.")
    model_display_name: str = _parameter(
        help="Name of the tuned model and of its endpoint; {date} and {time} stand for the run's."
    )
    location: str = _parameter(
        "", help="Region that the model is uploaded to; empty: the pipeline's region."
    )
    large_model_reference: str = _parameter(
        "text-bison@001", help="What to tune: a name of the table, hf://org/name, or a folder."
    )
    train_steps: int = _parameter(300, help="Batches to train on; 0 or less: the method's own.")
    learning_rate: float = _parameter(
        -1.0,
        help="Learning rate; negative: the one recommended for the model. The legacy method tune "
        "recommends 3.0; others take at most 1.",
    )
    learning_rate_multiplier: float = _parameter(1.0, help="Multiplies the learning rate.")
    dataset_uri: str = _parameter(
        "", help="Training data, JSONL: a path or URI; /gcs/B/F is gs://B/F."
    )
    dataset_name: str = _parameter("", help="Vertex AI managed dataset, instead of dataset_uri.")
    default_context: str = _parameter("", help="Context of chat examples that have none.")
    evaluation_data_uri: str = _parameter("", help="Evaluation data, JSONL.")
    evaluation_interval: int = _parameter(20, help="Steps between two evaluations.")
    enable_early_stopping: bool = _parameter(
        True, help="Stop when evaluations no longer get better; needs evaluation data."
    )
    enable_checkpoint_selection: str = _parameter(
        "default", help="Keep the best checkpoint, not the last: true, false or default."
    )
    accelerator_type: str = _parameter(
        "", help="GPU; empty: by the region. TPU, as published, is refused: nothing tunes on it."
    )
    tensorboard_resource_id: str = _parameter(
        "", help="Vertex AI TensorBoard to upload to: its resource name, or its number alone."
    )
    encryption_spec_key_name: str = _parameter("", help="Customer-managed encryption key.")
    tpu_training_skip_cmek: bool = _parameter(
        False, help="As published; no effect, for nothing tunes on TPU."
    )
    tuning_method: str = _parameter("tune_v2", help="tune_v2 (adapter) or the legacy tune.")
    api_endpoint: str = _parameter(
        "aiplatform.googleapis.com/ui", help="Vertex AI endpoint without its region."
    )
    evaluation_output_root_dir: str = _parameter(
        "", help="Folder that gets a copy of the evaluation and of both models' predictions."
    )
    max_context_length: str = _parameter("", help="8k or 32k; empty: the model's own.")

    seed: int = _own(0, help="Seed of weights, order and dropout.")
    strict_validation: bool = _own(False, help="Refuse the dataset on warnings too.")
    gate_metric: str = _own(
        "", help="Metric that decides on registration, such as exact_match; empty: no gate."
    )
    gate_threshold: float = _own(0.0, help="Value that the gate metric must reach.")
    tuning_machine: str = _own(
        "", help="Machine to tune on, a name of machine_specs.yaml; empty: the accelerator's."
    )
    tuning_strategy: str = _own(
        "", help="How the machine is obtained: STANDARD, SPOT or FLEX_START; empty: STANDARD."
    )
    tuning_max_wait: str = _own(
        "86400s", help="Longest wait for a machine of FLEX_START, in seconds; 0s: no limit."
    )
    tuning_timeout: str = _own("604800s", help="Longest time of tuning, in seconds.")
    restart_on_preemption: bool = _own(
        True, help="Go on from the last checkpoint when the machine is taken away."
    )
    network_attachment: str = _own(
        "", help="Private Service Connect network attachment that the tuner is reached through."
    )
    parent_model: str = _own(
        "", help="Registered model that gets the tuned one as a new version; empty: a new model."
    )
    version_aliases: str = _own("", help="Aliases of the new version, separated by commas.")
    endpoint_resource_name: str = _own(
        "", help="Endpoint to deploy to; empty: one that is made for the model."
    )
    traffic_percentage: int = _own(
        100, help="Share of the endpoint's traffic that the new version takes, in percent."
    )
    deploy_model: bool = _own(True, help="Deploy the registered model.")
    registry_uri: str = _own(
        "", help="MLflow tracking URI to register the model at; empty: the platform's own registry."
    )


_TEXT_ONLY = {"evaluation_output_root_dir", "max_context_length"}
# The published chat template lacks these; ours has them, optional as in the text template.
_EVALUATION = (
    "evaluation_data_uri",
    "evaluation_interval",
    "enable_early_stopping",
    "enable_checkpoint_selection",
)


@dataclass(frozen=True)
class Parameter:
    """One root input of a pipeline.

    Attributes:
        name: As published.
        type: str, int, float or bool.
        default: Its value when none is given; None where one must be given.
        help: One sentence.
        published: Whether the published template has it.
    """

    name: str
    type: type
    default: str | int | float | bool | None
    help: str
    published: bool

    @property
    def required(self) -> bool:
        """Whether a request must give a value."""
        return self.default is None


def _text_parameters() -> dict[str, Parameter]:
    types = get_type_hints(TuneLargeModelParameters)
    return {
        entry.name: Parameter(
            name=entry.name,
            type=types[entry.name],
            default=None if entry.default is MISSING else entry.default,
            help=entry.metadata["help"],
            published=entry.metadata["published"],
        )
        for entry in dataclasses.fields(TuneLargeModelParameters)
    }


def _chat_parameters() -> dict[str, Parameter]:
    chat = {name: entry for name, entry in TEXT.items() if name not in _TEXT_ONLY}
    for name in _EVALUATION:
        chat[name] = dataclasses.replace(chat.pop(name), published=False)
    reference = chat["large_model_reference"]
    chat["large_model_reference"] = dataclasses.replace(reference, default="chat-bison@001")
    return chat


TEXT: Mapping[str, Parameter] = _text_parameters()
CHAT: Mapping[str, Parameter] = _chat_parameters()
TEMPLATES: Mapping[str, Mapping[str, Parameter]] = {
    "tune-large-model": TEXT,
    "tune-large-chat-model": CHAT,
}


def parse(values: Mapping[str, Any], parameters: Mapping[str, Parameter]) -> dict[str, Any]:
    """Checks names and types of a request's parameters.

    Args:
        values: As they came from a command line, a YAML file or a REST body.
        parameters: Those of the template.

    Returns:
        Every parameter given, in its own type. Defaults are not filled in.

    Raises:
        UserError: For every unknown name, value of a wrong type and missing required value.
    """
    parsed, problems = sort_out(values, parameters)
    raise_all(problems)
    return parsed


def sort_out(
    values: Mapping[str, Any], parameters: Mapping[str, Parameter]
) -> tuple[dict[str, Any], list[Problem]]:
    """Parses what can be parsed of a request's parameters, so that the rest is told with it.

    Args:
        values: As they came from a command line, a YAML file or a REST body.
        parameters: Those of the template.

    Returns:
        Every parameter whose value is of its type, and a problem for every other: ``where`` is its
        name.
    """
    fix = "See kfp-llm-tuning run --help."
    unknown = (name for name in values if name not in parameters)
    problems = unknown_names(unknown, list(parameters), "unknown parameter.", fix)
    parsed: dict[str, Any] = {}
    for name, value in values.items():
        if name not in parameters:
            continue
        if unfit := value_problems(value, name):
            problems += unfit
        elif (converted := _convert(value, parameters[name].type)) is None:
            problems.append(_wrong_type(value, parameters[name]))
        else:
            parsed[name] = converted
    for name, parameter in parameters.items():
        if parameter.required and name not in values:
            problems.append(
                Problem("a value is needed.", where=name, fix=f"Give {option_name(name)}.")
            )
    return parsed, problems + size_problems(parsed)


def option_name(name: str) -> str:
    """Writes a parameter as the command's option: ``train_steps`` as ``--train-steps``."""
    return "--" + name.replace("_", "-")


def _wrong_type(value: Any, parameter: Parameter) -> Problem:
    words = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
    return Problem(
        f"{short(value)} is not {words[parameter.type]}.",
        where=parameter.name,
        allowed=words[parameter.type],
    )


def _convert(value: Any, type_: type) -> str | int | float | bool | None:
    """Converts to the parameter's type; None where that would change the value's meaning."""
    if isinstance(value, bool):
        # Published clients send a boolean for enable_checkpoint_selection, whose type is STRING.
        return value if type_ is bool else str(value).lower() if type_ is str else None
    if type_ is bool:
        return {"true": True, "false": False}.get(str(value).strip().lower())
    if type_ is str:
        return value if isinstance(value, str) else None
    if not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
        if not math.isfinite(number) or (type_ is int and abs(number) >= 2**63):
            return None
        return number if type_ is float else int(value) if number.is_integer() else None
    except (ValueError, OverflowError):  # "inf" is no whole number; a long one is no float
        return None
