"""How likely a model finds given texts after given prompts."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from kfp_llm_tuning.components.data.token_layouts import PaddedRows
from kfp_llm_tuning.components.data.token_sequence import TokenSequence
from kfp_llm_tuning.components.generation.batches import (
    TOKENS_PER_BATCH,
    plan_batches,
    with_progress,
)
from kfp_llm_tuning.components.generation.engine import Tokens
from kfp_llm_tuning.components.models.forward_trial import plan_forward
from kfp_llm_tuning.components.models.label_only_loss import label_logits

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Scorer:
    """Scores texts with a model."""

    def __init__(self, model: Any, pad: int) -> None:
        """Finds out how the model is best called.

        Args:
            model: A causal language model in evaluation mode.
            pad: Any token, to fill rows with.
        """
        self._model = model
        self._device = model.device
        self._pad = pad
        self._layout = PaddedRows(pad)
        self._plan = plan_forward(model)

    def score(
        self, prompts: Sequence[Tokens], completions: Sequence[Tokens]
    ) -> NDArray[np.float64]:
        """Computes the log-likelihood of each completion given its prompt.

        Args:
            prompts: Token ids, at least one each.
            completions: Token ids, the end included; at least one each.

        Returns:
            Natural logarithms, summed over a completion's tokens; shape (prompts,).
        """
        result = np.zeros(len(prompts))
        lengths = [len(p) + len(c) for p, c in zip(prompts, completions, strict=True)]
        vocabulary = self._model.config.get_text_config().vocab_size
        batches = plan_batches(lengths, [len(c) * vocabulary for c in completions])
        for rows in with_progress(batches, len(prompts), "references scored"):
            result[rows] = self._score_batch(
                [prompts[row] for row in rows], [completions[row] for row in rows]
            )
        return result

    def score_choices(
        self, prompts: Sequence[Tokens], choices: Sequence[Tokens]
    ) -> NDArray[np.float64]:
        """Computes the log-likelihood of every choice given every prompt.

        A prompt is read once; its keys and values are then repeated for the choices.

        Args:
            prompts: Token ids, at least one each; equal prompts are computed once.
            choices: Token ids, at least two each (the end is one), the same for all prompts.

        Returns:
            Natural logarithms, shape (prompts, choices).
        """
        distinct = list(dict.fromkeys(map(tuple, prompts)))
        longest = max(map(len, choices))
        batches = plan_batches([(len(prompt) + longest) * len(choices) for prompt in distinct])
        scores: dict[tuple[int, ...], NDArray[np.float64]] = {}
        for rows in with_progress(batches, len(distinct), "prompts scored for every label"):
            prompt_batch = [distinct[row] for row in rows]
            scores.update(
                zip(prompt_batch, self._score_choices_batch(prompt_batch, choices), strict=True)
            )
        return np.stack([scores[tuple(prompt)] for prompt in prompts])

    @torch.inference_mode()
    def _score_batch(
        self, prompts: Sequence[Tokens], completions: Sequence[Tokens]
    ) -> NDArray[np.float64]:
        sequences = [
            TokenSequence.of_answer(np.array([*prompt, *completion], dtype=np.int32), len(prompt))
            for prompt, completion in zip(prompts, completions, strict=True)
        ]
        batch = self._layout.collate(sequences).to(self._device)
        likelihoods = _log_likelihoods(label_logits(self._model, batch, self._plan), batch.targets)
        lengths = [len(completion) for completion in completions]
        return np.array([float(part.sum()) for part in likelihoods.split(lengths)])

    @torch.inference_mode()
    def _score_choices_batch(
        self, prompts: Sequence[Tokens], choices: Sequence[Tokens]
    ) -> NDArray[np.float64]:
        ids, mask = self._pad_left(prompts)
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
        read = self._model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            logits_to_keep=1,
            use_cache=True,
        )
        width = ids.shape[1] + max(map(len, choices))
        at_once = max(1, TOKENS_PER_BATCH // (len(prompts) * width))
        parts = [
            self._score_after(read, mask, choices[start : start + at_once])
            for start in range(0, len(choices), at_once)
        ]
        return np.concatenate(parts, axis=1)

    def _score_after(
        self, read: Any, prompt_mask: torch.Tensor, choices: Sequence[Tokens]
    ) -> NDArray[np.float64]:
        """Scores choices after prompts that the model has read, whose cache stays as it was."""
        prompts, count = len(prompt_mask), len(choices)
        first = torch.log_softmax(read.logits[:, -1].double(), dim=-1)
        scores = first[:, [choice[0] for choice in choices]]
        cache = copy.deepcopy(read.past_key_values)
        cache.batch_repeat_interleave(count)
        width = max(map(len, choices)) - 1
        inputs = self._tensor([_padded(choice[:-1], width, self._pad) for choice in choices])
        labels = self._tensor([_padded(choice[1:], width, self._pad) for choice in choices])
        is_label = torch.arange(width, device=self._device) < self._tensor(
            [[len(choice) - 1] for choice in choices]
        )
        mask = prompt_mask.repeat_interleave(count, dim=0)
        lengths = mask.sum(dim=1, keepdim=True)
        logits = self._model(
            input_ids=inputs.repeat(prompts, 1),
            attention_mask=torch.cat([mask, mask.new_ones(len(mask), width)], dim=1),
            position_ids=lengths + torch.arange(width, device=self._device),
            past_key_values=cache,
            use_cache=True,
        ).logits
        rest = _log_likelihoods(logits.flatten(0, 1), labels.repeat(prompts, 1).flatten())
        rest = rest.view(prompts, count, width).where(is_label, 0.0).sum(dim=-1)
        total: NDArray[np.float64] = (scores + rest).cpu().numpy()
        return total

    def _pad_left(self, prompts: Sequence[Tokens]) -> tuple[torch.Tensor, torch.Tensor]:
        width = max(map(len, prompts))
        ids = self._tensor([[self._pad] * (width - len(p)) + list(p) for p in prompts])
        mask = self._tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
        return ids, mask

    def _tensor(self, values: Any) -> torch.Tensor:
        return torch.tensor(values, device=self._device)


def _padded(tokens: Tokens, width: int, pad: int) -> list[int]:
    return [*tokens, *[pad] * (width - len(tokens))]


def _log_likelihoods(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Computes log p(label) at each position: logits (positions, vocabulary), labels (positions,).

    Summed as float64, so that the result does not depend on how rows were batched.
    """
    return -torch.nn.functional.cross_entropy(logits.float(), labels, reduction="none").double()
