"""One model in memory, run by transformers: what it writes, and how likely it finds given texts.

Works on token ids, so that evaluation and serving, which come by their prompts differently, share
it. Answers come from a loop of our own: see `decoding.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from kfp_llm_tuning.components.common.processors import prepare_to_compute
from kfp_llm_tuning.components.generation.decoded_text import decode
from kfp_llm_tuning.components.generation.decoding import Decoder, Row
from kfp_llm_tuning.components.generation.decoding_thread import DecodingThread
from kfp_llm_tuning.components.generation.engine import (
    Generation,
    GenerationRequest,
    Listener,
    Ticket,
    Tokens,
)
from kfp_llm_tuning.components.generation.offline import generate_all
from kfp_llm_tuning.components.generation.request_limits import within_limits
from kfp_llm_tuning.components.generation.rows import RowModel
from kfp_llm_tuning.components.generation.scoring import Scorer
from kfp_llm_tuning.components.models.causal_model import load_causal_model
from kfp_llm_tuning.components.models.precision import fastest_dtype
from kfp_llm_tuning.components.models.tokenizer import load_tokenizer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class TransformersEngine:
    """A causal language model of a local folder, run by transformers on CPU or one GPU.

    Attributes:
        model: The model, in evaluation mode.
        tokenizer: The folder's tokenizer.
        device: Where the model is.
        precision: "bfloat16" where that is the fastest, else "float32".
        context_length: Most tokens that prompt and answer may have together.
    """

    def __init__(self, folder: Path) -> None:
        """Loads model and tokenizer from a folder in Hugging Face layout; safetensors only."""
        prepare_to_compute()
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype = fastest_dtype()
        self.precision = str(dtype).removeprefix("torch.")
        self.tokenizer = load_tokenizer(folder)
        self.model: Any = load_causal_model(folder, dtype)
        self.model.to(self.device).eval()
        self.context_length = _context_length(self.model, self.tokenizer)
        self._vocabulary = int(self.model.get_input_embeddings().num_embeddings)
        pad = _pad_token_id(self.tokenizer)
        self._rows = RowModel(self.model, pad)
        self._scorer = Scorer(self.model, pad)
        self._thread = DecodingThread(Decoder(self._rows))

    @property
    def alive(self) -> bool:
        """Whether requests that are submitted will be answered."""
        return self._thread.alive

    def generate(self, requests: Sequence[GenerationRequest]) -> list[Generation]:
        """Continues every prompt, in the caller's thread.

        Args:
            requests: What is asked; equal ones that must get the same answer are computed once.

        Returns:
            One generation a request, in their order.

        Raises:
            ValueError: If a request cannot be answered by this model.
        """
        return generate_all(Decoder(self._rows), [self._checked(request) for request in requests])

    def submit(self, request: GenerationRequest, listener: Listener) -> Ticket:
        """Continues one prompt beside all others that were submitted. From any thread.

        Args:
            request: What is asked.
            listener: Hears of it, in the engine's thread.

        Returns:
            Ends the request before its time.

        Raises:
            ValueError: If the request cannot be answered by this model.
            RuntimeError: If the engine is closed.
        """
        row = Row(self._checked(request), listener)
        self._thread.submit(row)
        return row

    def score(
        self, prompts: Sequence[Tokens], completions: Sequence[Tokens]
    ) -> NDArray[np.float64]:
        """Computes the log-likelihood of each completion given its prompt; see `Scorer.score`."""
        return self._scorer.score(prompts, completions)

    def score_choices(
        self, prompts: Sequence[Tokens], choices: Sequence[Tokens]
    ) -> NDArray[np.float64]:
        """Computes the log-likelihood of every choice; see `Scorer.score_choices`."""
        return self._scorer.score_choices(prompts, choices)

    def decode(self, texts: Sequence[Tokens], kept: Collection[int] = frozenset()) -> list[str]:
        """Turns token ids into text, special tokens but those to be kept left out."""
        return decode(self.tokenizer, texts, kept)

    def close(self) -> None:
        """Ends the engine's thread; requests under way hear of an error."""
        self._thread.close()

    def _checked(self, request: GenerationRequest) -> GenerationRequest:
        return within_limits(request, self.context_length, self._vocabulary)


def _pad_token_id(tokenizer: Any) -> int:
    """Finds a token to fill rows with; masked or never looked at, so any one does."""
    for token in (tokenizer.pad_token_id, tokenizer.eos_token_id):
        if token is not None:
            return int(token)
    return 0


def _context_length(model: Any, tokenizer: Any) -> int:
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return int(positions or tokenizer.model_max_length)
