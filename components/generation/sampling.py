"""Chooses the next tokens of many rows at once, each by its own settings."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch

from kfp_llm_tuning.components.generation.engine import Sampling, TokenLogprobs

# So many of the likeliest tokens nearly always hold all that top_k and top_p leave: sorting a whole
# vocabulary of 150,000 takes longer than a small model's step.
_LIKELIEST = 1024


class RowSampling:
    """How one row's tokens are chosen, and what was chosen so far.

    Attributes:
        settings: As asked for.
        adjustments: What is added to logits, by token: bias, less penalties for what was written.
        is_plain: Whether the likeliest token is taken and nothing else is asked for.
    """

    def __init__(self, settings: Sampling) -> None:
        """Starts a row.

        Args:
            settings: As asked for.
        """
        self.settings = settings
        self.adjustments = dict(settings.logit_bias)
        self._random = random.Random(settings.seed) if settings.temperature > 0 else None
        self._penalises = bool(settings.presence_penalty or settings.frequency_penalty)
        self._written: set[int] = set()
        self.is_plain = not (
            self._random or self._penalises or self.adjustments or settings.logprobs is not None
        )

    def note(self, token: int) -> None:
        """Remembers what was written.

        Args:
            token: The newest token.
        """
        if not self._penalises:
            return
        penalty = self.settings.frequency_penalty
        if token not in self._written:
            self._written.add(token)
            penalty += self.settings.presence_penalty
        self.adjustments[token] = self.adjustments.get(token, 0.0) - penalty

    def draw(self) -> float | None:
        """Draws a number from 0 to 1, 1 left out; None where the likeliest token is taken."""
        return self._random.random() if self._random else None


def choose(
    logits: torch.Tensor, rows: Sequence[RowSampling]
) -> tuple[list[int], list[TokenLogprobs | None]]:
    """Chooses every row's next token.

    Args:
        logits: float32, shape (rows, vocabulary); is changed.
        rows: How each is chosen.

    Returns:
        Tokens, and their log-probabilities where they were asked for.
    """
    told: list[TokenLogprobs | None] = [None] * len(rows)
    if all(row.is_plain for row in rows):
        return logits.argmax(dim=-1).tolist(), told
    asked = [number for number, row in enumerate(rows) if row.settings.logprobs is not None]
    # Before the adjustments: they are the model's own.
    logprobs = logits[asked].log_softmax(dim=-1) if asked else None
    _adjust(logits, rows)
    chosen = logits.argmax(dim=-1)
    draws = {number: draw for number, row in enumerate(rows) if (draw := row.draw()) is not None}
    if draws:
        drawn = list(draws)
        settings = [rows[number].settings for number in drawn]
        chosen[drawn] = _sample(logits[drawn], settings, list(draws.values()))
    if logprobs is not None:
        counts = [rows[number].settings.logprobs or 0 for number in asked]
        for number, logprob in zip(asked, _tell(logprobs, chosen[asked], counts), strict=True):
            told[number] = logprob
    return chosen.tolist(), told


def _adjust(logits: torch.Tensor, rows: Sequence[RowSampling]) -> None:
    places: list[int] = []
    tokens: list[int] = []
    values: list[float] = []
    for number, row in enumerate(rows):
        places += [number] * len(row.adjustments)
        tokens += row.adjustments.keys()
        values += row.adjustments.values()
    if tokens:
        where = torch.tensor([places, tokens], device=logits.device)
        added = torch.tensor(values, dtype=logits.dtype, device=logits.device)
        logits[where[0], where[1]] += added


def _sample(
    logits: torch.Tensor, settings: Sequence[Sampling], draws: Sequence[float]
) -> torch.Tensor:
    """Draws a token a row; rows that leave all tokens to choose from need no sorting."""
    chosen = torch.empty(len(settings), dtype=torch.long, device=logits.device)
    # The likeliest token's logit is 0 before the division: no temperature makes it overflow.
    logits = logits - logits.amax(dim=-1, keepdim=True)
    logits /= _column([row.temperature for row in settings], logits)
    draw = _column(draws, logits)
    limited = [number for number, row in enumerate(settings) if row.top_k > 0 or row.top_p < 1]
    free = [number for number, row in enumerate(settings) if row.top_k <= 0 and row.top_p >= 1]
    if free:
        chosen[free] = _pick(logits[free].softmax(dim=-1), draw[free])
    if limited:
        weights, tokens = _likeliest(logits[limited], [settings[number] for number in limited])
        places = _pick(weights, draw[limited])
        chosen[limited] = tokens.gather(1, places[:, None])[:, 0]
    return chosen


def _likeliest(
    logits: torch.Tensor, settings: Sequence[Sampling]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gives weights of the likeliest tokens, 0 where top_k and top_p leave them out, and their ids.

    Where the first of them do not settle it, the whole vocabulary is sorted.
    """
    vocabulary = logits.shape[-1]
    top_k = _column([row.top_k if row.top_k > 0 else vocabulary for row in settings], logits)
    top_p = _column([row.top_p for row in settings], logits)
    whole = logits.logsumexp(dim=-1, keepdim=True)
    for count in (min(_LIKELIEST, vocabulary), vocabulary):
        values, tokens = logits.topk(count, dim=-1)
        rank = torch.arange(count, device=logits.device)
        weights = (values - whole).exp().double().where(rank < top_k, 0.0)
        sums = weights.cumsum(dim=-1)
        # top_p is a share of what top_k leaves.
        wanted = top_p * torch.where(top_k < vocabulary, sums[:, -1:], 1.0)
        settled = (top_k <= count) | ((top_k >= vocabulary) & (sums[:, -1:] >= wanted))
        if count == vocabulary or bool(settled.all()):
            break
    return weights.where((sums - weights < wanted) | (rank == 0), 0.0), tokens


def _pick(weights: torch.Tensor, draw: torch.Tensor) -> torch.Tensor:
    """Picks a place a row, as likely as its weight: the first whose sum of weights is above."""
    sums = weights.cumsum(dim=-1, dtype=torch.float64)
    total = sums[:, -1:]
    places = torch.searchsorted(sums, draw * total, right=True)[:, 0]
    # Rounding may raise the draw to the total itself: then the last place of any weight is meant.
    return torch.minimum(places, (sums < total).sum(dim=-1))


def _tell(
    logprobs: torch.Tensor, chosen: torch.Tensor, counts: Sequence[int]
) -> list[TokenLogprobs]:
    own = logprobs.gather(1, chosen[:, None])[:, 0].tolist()
    values, tokens = logprobs.topk(min(max(counts), logprobs.shape[-1]), dim=-1)
    likeliest = [
        tuple(zip(row_tokens[:count], row_values[:count], strict=True))
        for row_tokens, row_values, count in zip(
            tokens.tolist(), values.tolist(), counts, strict=True
        )
    ]
    return [TokenLogprobs(*told) for told in zip(own, likeliest, strict=True)]


def _column(values: Sequence[float], like: torch.Tensor) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64, device=like.device)[:, None]
