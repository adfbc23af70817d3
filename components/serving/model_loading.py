"""Brings the model to this machine and into memory; safetensors only, and no code of its own."""

from __future__ import annotations

import dataclasses
import logging
import time
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.storage import (
    bucket_uri,
    is_local,
    is_mounted_bucket,
    local_path,
)
from kfp_llm_tuning.components.serving import logs

if TYPE_CHECKING:
    from kfp_llm_tuning.components.generation.engine import TokenLogprobs
    from kfp_llm_tuning.components.generation.tuned_model import TunedModel
    from kfp_llm_tuning.components.serving.settings import ServerSettings

_WHERE = "model"
# The first is computed in another way than those after it.
_FIRST_TOKENS = 3

_logger = logging.getLogger(__name__)


def load_model(settings: ServerSettings) -> TunedModel:
    """Loads the model, and has it answer once.

    Args:
        settings: ``model`` and ``engine`` are read.

    Returns:
        A model that answers.

    Raises:
        UserError: If there is no model, or one that is not served.
    """
    from kfp_llm_tuning.components.generation.tuned_model import TunedModel

    begun = time.monotonic()
    folder = fetch(settings.model)
    logs.configure_transformers()
    model = TunedModel(folder, settings.engine)
    _answer_once(model)
    _logger.info(
        "The model answers in %s on %s, %.1f s after it was asked for.",
        model.engine.precision,
        model.engine.device,
        time.monotonic() - begun,
    )
    return model


def fetch(model: str) -> Path:
    """Brings a model to this machine, once, and looks whether it can be served.

    Args:
        model: A folder, or a URI of one; ``/gcs/BUCKET/...`` is read as gs:// where it is not
            mounted. What is not on this machine is kept in the folder of downloaded models.

    Returns:
        Its folder on this machine.

    Raises:
        UserError: If it is not there or not whole, if its weights are pickled, or if it asks for
            code of its own.
    """
    from kfp_llm_tuning.components.models.base_models import materialise
    from kfp_llm_tuning.components.models.model_references import resolve

    if not model:
        raise UserError(Problem("no model is named.", _WHERE, "a folder or a URI of one"))
    uri = _uri(model)
    try:
        folder = materialise(resolve(uri))
    except UserError as error:
        raise UserError(
            *(dataclasses.replace(problem, where=_WHERE) for problem in error.problems)
        ) from error
    except Exception as error:
        if is_local(uri):
            raise
        # The errors of fsspec's packages have no base of their own.
        what = f"cannot read {uri} ({type(error).__name__}: {error})."
        raise UserError(Problem(what, _WHERE)) from error
    return folder


def _answer_once(model: TunedModel) -> None:
    """Asks as the routes will, and raises what kept the model from answering."""
    from kfp_llm_tuning.components.generation.engine import GenerationRequest
    from kfp_llm_tuning.components.generation.instances import text_instance

    (prompt,) = model.prompts([text_instance("Hello")], cut=True)
    answered = _Answered()
    model.engine.submit(GenerationRequest(prompt.ids, _FIRST_TOKENS, model.stop_tokens), answered)
    answered.future.result()


class _Answered:
    """Waits for the end of an answer."""

    def __init__(self) -> None:
        self.future: Future[bool] = Future()

    def on_token(self, token: int, logprobs: TokenLogprobs | None) -> None:
        pass

    def on_end(self, finished: bool) -> None:
        self.future.set_result(finished)

    def on_error(self, error: Exception) -> None:
        self.future.set_exception(error)


def _uri(model: str) -> str:
    if is_mounted_bucket(model) and not Path(model).is_dir():
        return bucket_uri(model)
    return str(local_path(model).absolute()) if is_local(model) else model
