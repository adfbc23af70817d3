"""One model in memory: what it writes after a prompt, and how likely it finds given texts.

Works on token ids, so that evaluation and serving, which come by their prompts differently, share
it.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, GenerationConfig

from kfp_llm_tuning.components.generation.batches import (
    TOKENS_PER_BATCH,
    plan_batches,
    with_progress,
)
from kfp_llm_tuning.components.generation.engine import Generation, GenerationRequest, Tokens
from kfp_llm_tuning.components.tuning.base_models import load_tokenizer
from kfp_llm_tuning.components.tuning.batching import Example, collate
from kfp_llm_tuning.components.tuning.label_only_loss import label_logits, plan_forward

if TYPE_CHECKING:
    from numpy.typing import NDArray


class TransformersEngine:
    """A causal language model of a local folder, run by transformers on CPU or one GPU.

    Attributes:
        model: The model, in evaluation mode.
        tokenizer: The folder's tokenizer.
        device: Where the model is.
        precision: "bfloat16" where the processor computes with it, else "float32".
    """

    def __init__(self, folder: Path) -> None:
        """Loads model and tokenizer from a folder in Hugging Face layout; safetensors only."""
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype = _fastest_dtype(self.device)
        self.precision = str(dtype).removeprefix("torch.")
        self.tokenizer = load_tokenizer(folder)
        self.model: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, use_safetensors=True, trust_remote_code=False
        )
        self.model.to(self.device).eval()
        # The folder's own settings (sampling, repetition penalty) would be merged into ours.
        self.model.generation_config = GenerationConfig()
        self._pad = _pad_token_id(self.tokenizer)
        self._plan = plan_forward(self.model)
        self.context_length = int(self.model.config.get_text_config().max_position_embeddings)

    def generate(self, requests: Sequence[GenerationRequest]) -> list[Generation]:
        """Continues every prompt greedily."""
        request = requests[0]
        written: dict[tuple[int, ...], Generation] = {}
        distinct = list(dict.fromkeys(tuple(request.prompt) for request in requests))
        config = GenerationConfig(
            do_sample=False,
            max_new_tokens=request.max_new_tokens,
            eos_token_id=list(request.stop_tokens),
            pad_token_id=self._pad,
        )
        batches = plan_batches([len(prompt) + request.max_new_tokens for prompt in distinct])
        for rows in with_progress(batches, len(distinct), "prompts answered"):
            prompt_batch = [distinct[row] for row in rows]
            for prompt, generation in zip(
                prompt_batch, self._generate_batch(prompt_batch, config), strict=True
            ):
                written[prompt] = generation
        return [written[tuple(request.prompt)] for request in requests]

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
        vocabulary = self.model.config.get_text_config().vocab_size
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

    def decode(self, texts: Sequence[Tokens]) -> list[str]:
        """Turns token ids into text, special tokens left out.

        Args:
            texts: Token ids.

        Returns:
            One string each.
        """
        decoded: list[str] = self.tokenizer.batch_decode(
            [list(text) for text in texts],
            skip_special_tokens=True,
            clean_up_tokenization_spaces=False,
        )
        return decoded

    @torch.inference_mode()
    def _generate_batch(
        self, prompts: Sequence[Tokens], config: GenerationConfig
    ) -> list[Generation]:
        ids, mask = self._pad_left(prompts)
        output = self.model.generate(
            input_ids=ids, attention_mask=mask, generation_config=config
        ).tolist()
        stops = set(config.eos_token_id)
        return [_until_stop(row[ids.shape[1] :], stops) for row in output]

    @torch.inference_mode()
    def _score_batch(
        self, prompts: Sequence[Tokens], completions: Sequence[Tokens]
    ) -> NDArray[np.float64]:
        examples = [
            Example(np.array([*prompt, *completion], dtype=np.int32), len(prompt))
            for prompt, completion in zip(prompts, completions, strict=True)
        ]
        batch = collate(examples, padding=self._pad).to(self.device)
        likelihoods = _log_likelihoods(label_logits(self.model, batch, self._plan), batch.targets)
        lengths = [len(completion) for completion in completions]
        return np.array([float(part.sum()) for part in likelihoods.split(lengths)])

    @torch.inference_mode()
    def _score_choices_batch(
        self, prompts: Sequence[Tokens], choices: Sequence[Tokens]
    ) -> NDArray[np.float64]:
        ids, mask = self._pad_left(prompts)
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
        read = self.model(
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
        is_label = torch.arange(width, device=self.device) < self._tensor(
            [[len(choice) - 1] for choice in choices]
        )
        mask = prompt_mask.repeat_interleave(count, dim=0)
        lengths = mask.sum(dim=1, keepdim=True)
        logits = self.model(
            input_ids=inputs.repeat(prompts, 1),
            attention_mask=torch.cat([mask, mask.new_ones(len(mask), width)], dim=1),
            position_ids=lengths + torch.arange(width, device=self.device),
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
        return torch.tensor(values, device=self.device)


def _fastest_dtype(device: str) -> torch.dtype:
    if device == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    # Without these instructions bfloat16 is emulated, several times slower than float32.
    has_bfloat16 = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if has_bfloat16 else torch.float32


def _pad_token_id(tokenizer: Any) -> int:
    """Finds a token to fill rows with; masked or never looked at, so any one does."""
    for token in (tokenizer.pad_token_id, tokenizer.eos_token_id):
        if token is not None:
            return int(token)
    return 0


def _padded(tokens: Tokens, width: int, pad: int) -> list[int]:
    return [*tokens, *[pad] * (width - len(tokens))]


def _until_stop(tokens: list[int], stops: set[int]) -> Generation:
    for position, token in enumerate(tokens):
        if token in stops:
            return Generation(tokens[:position], finished=True)
    return Generation(tokens, finished=False)


def _log_likelihoods(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Computes log p(label) at each position: logits (positions, vocabulary), labels (positions,).

    Summed as float64, so that the result does not depend on how rows were batched.
    """
    return -torch.nn.functional.cross_entropy(logits.float(), labels, reduction="none").double()
