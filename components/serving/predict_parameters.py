"""The parameters of a prediction: the published ones, with their ranges and defaults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kfp_llm_tuning.components.generation.engine import Sampling
from kfp_llm_tuning.components.serving.request_fields import Fields
from kfp_llm_tuning.components.serving.sampling_fields import (
    MAX_CANDIDATES,
    read_sampling,
    read_stops,
)

if TYPE_CHECKING:
    from kfp_llm_tuning.components.generation.tuned_model import TunedModel

# What the published models take where a request says nothing of it.
_DEFAULTS = Sampling(temperature=0.0, top_p=0.95, top_k=40)
_MOST_LOGPROBS = 5
_LIMIT_NAMES = ("maxOutputTokens", "maxDecodeSteps")


@dataclass(frozen=True)
class Parameters:
    """How every instance of a request is answered.

    Attributes:
        limit: Most tokens of an answer.
        candidates: Answers to each instance.
        sampling: How tokens are chosen.
        stops: Texts before which an answer ends.
        echo: Whether an answer begins with its prompt.
    """

    limit: int
    candidates: int
    sampling: Sampling
    stops: tuple[str, ...]
    echo: bool


def read_parameters(fields: Fields, model: TunedModel) -> Parameters:
    """Takes the parameters.

    Args:
        fields: The object ``parameters``; takes note of mistakes.
        model: Its limits are the parameters'.

    Returns:
        The parameters.
    """
    logprobs = fields.whole("logprobs", 0, 0, _MOST_LOGPROBS) if fields.has("logprobs") else None
    parameters = Parameters(
        limit=_read_limit(fields, model.max_output_tokens),
        candidates=fields.whole("candidateCount", 1, 1, MAX_CANDIDATES),
        sampling=read_sampling(fields, _camel_case, _DEFAULTS, model.vocabulary_size, logprobs),
        stops=read_stops(fields, "stopSequences"),
        echo=fields.flag("echo"),
    )
    _refuse_grounding(fields)
    fields.finish()
    return parameters


def _read_limit(fields: Fields, most: int) -> int:
    given = {name: fields.whole(name, most, 1, most) for name in _LIMIT_NAMES if fields.has(name)}
    if len(set(given.values())) > 1:
        fields.complain(_LIMIT_NAMES[0], "differs from maxDecodeSteps, its other name.")
    return next(iter(given.values()), most)


def _refuse_grounding(fields: Fields) -> None:
    grounding = fields.take("groundingConfig")
    is_off = grounding is None or (
        isinstance(grounding, dict)
        and not any(value for name, value in grounding.items() if name != "disableAttribution")
    )
    if not is_off:
        what = "this server searches for no sources: answers are the model's alone."
        fields.complain("groundingConfig", what, "no sources")


def _camel_case(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(other.capitalize() for other in others)
