"""Bodies of the predict route: instances, parameters, and whether to stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kfp_llm_tuning.components.common.errors import Problem
from kfp_llm_tuning.components.serving.predict_instances import read_instance
from kfp_llm_tuning.components.serving.predict_parameters import Parameters, read_parameters
from kfp_llm_tuning.components.serving.refusals import Refusal
from kfp_llm_tuning.components.serving.request_fields import Fields

if TYPE_CHECKING:
    from kfp_llm_tuning.components.generation.tuned_model import TunedModel
    from kfp_llm_tuning.components.serving.prompting import PromptInput


@dataclass(frozen=True)
class PredictRequest:
    """What the predict route is asked.

    Attributes:
        instances: What is asked.
        parameters: How all of it is answered.
        stream: Whether the answer comes as it is written.
    """

    instances: Sequence[PromptInput]
    parameters: Parameters
    stream: bool


def read_predict_request(body: dict[str, Any], model: TunedModel, most: int) -> PredictRequest:
    """Reads a body.

    Args:
        body: The JSON object.
        model: Its limits are the request's.
        most: Answers that may be asked for at once.

    Returns:
        The request.

    Raises:
        Refusal: With every mistake found.
    """
    problems: list[Problem] = []
    fields = Fields(body, "", problems)
    instances = _read_instances(fields, most)
    parameters = read_parameters(
        fields.object("parameters") or Fields({}, "parameters", problems), model
    )
    if parameters.echo and any(asked.instance.is_chat for asked in instances):
        fields.complain("parameters.echo", "a conversation has no one text to repeat.", "false")
    stream = fields.flag("stream")
    if stream and len(instances) * parameters.candidates > 1:
        what = "only one candidate for one instance can be streamed."
        fields.complain("stream", what, fix="Send each in a request of its own.")
    # Vertex AI's own field, for those who pay.
    fields.ignore(["labels"])
    fields.finish()
    if problems:
        raise Refusal(400, *problems)
    return PredictRequest(instances, parameters, stream)


def _read_instances(fields: Fields, most: int) -> list[PromptInput]:
    given = fields.take("instances")
    allowed = f"a list of 1 to {most} objects"
    if given is None:
        fields.complain("instances", "is missing.", allowed)
    elif isinstance(given, list) and not 1 <= len(given) <= most:
        fields.complain("instances", f"has {len(given)} items.", allowed)
    else:
        return [read_instance(instance) for instance in fields.objects("instances")]
    return []
