"""Answers predictions with a deployed model, in the shapes that the published clients read.

It stands where the container of a deployed model would; the model is loaded once.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.generation.questions import Question, question, text_question
from kfp_llm_tuning.components.generation.tuned_model import Answer, TunedModel
from tests.vertex.redirect.sitecustomize import STORAGE_FOLDER_VARIABLE

_lock = threading.Lock()


def predict(
    model: dict[str, Any],
    instances: Sequence[Any],
    parameters: Any,
    environment: Mapping[str, str],
    folder: Path,
) -> list[Any]:
    """Answers a prediction; see `Runner` in runner_protocol.py."""
    weights = Path(environment[STORAGE_FOLDER_VARIABLE], model["artifactUri"].removeprefix("gs://"))
    try:
        questions = [_question(instance) for instance in instances]
    except (UserError, KeyError, TypeError) as error:
        raise ValueError(f"The instances are wrong: {error}") from error
    limit = _max_output_tokens(parameters or {})
    with _lock:
        answers = _loaded(folder, weights).answer(questions, limit)
    return [
        _chat_prediction(answer) if asked.is_chat else _text_prediction(answer)
        for asked, answer in zip(questions, answers, strict=True)
    ]


@lru_cache(maxsize=4)
def _loaded(deployment: Path, weights: Path) -> TunedModel:
    return TunedModel(weights)


def _question(instance: Any) -> Question:
    if isinstance(instance, dict) and "prefix" in instance:
        return text_question(f"{instance['prefix']}{instance.get('suffix') or ''}")
    if isinstance(instance, dict) and "messages" in instance:
        return question({**instance, "messages": _messages(instance)})
    return question(instance)


def _messages(instance: dict[str, Any]) -> list[dict[str, str]]:
    """Examples stand before the conversation; clients call the model ``bot``."""
    turns = [
        {"author": author, "content": example[side]["content"]}
        for example in instance.get("examples") or []
        for author, side in (("user", "input"), ("assistant", "output"))
    ]
    return turns + [
        {
            "author": "user" if message["author"] == "user" else "assistant",
            "content": message["content"],
        }
        for message in instance["messages"]
    ]


def _max_output_tokens(parameters: Mapping[str, Any]) -> int:
    value = parameters.get("maxOutputTokens", parameters.get("maxDecodeSteps", 0))
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise ValueError(f"maxOutputTokens must be a positive integer, not {value!r}.")
    return int(value)


def _text_prediction(answer: Answer) -> dict[str, Any]:
    return {
        "content": answer.content,
        "safetyAttributes": _safety(),
        "citationMetadata": {"citations": []},
    }


def _chat_prediction(answer: Answer) -> dict[str, Any]:
    return {
        "candidates": [{"author": "bot", "content": answer.content}],
        "safetyAttributes": [_safety()],
        "citationMetadata": [{"citations": []}],
    }


def _safety() -> dict[str, Any]:
    return {"categories": [], "scores": [], "blocked": False}
