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
    """

    def __init__(self, settings: Sampling) -> None:
        """Starts a row.

        Args:
            settings: As asked for.
        """
        self.settings = settings
        self.adjustments = dict(settings.logit_bias)
        self._random = random.Random(settings.seed) if settings.temperature > 0 else None
        self._penalised: set[int] | None = None
        if settings.presence_penalty or settings.frequency_penalty:
            self._penalised = set()

    @property
    def is_plain(self) -> bool:
        """Whether the likeliest token is taken and nothing else is asked for."""
        return (
            self._random is None
            and self._penalised is None
            and not self.adjustments
            and self.settings.logprobs is None
        )

    def note(self, token: int) -> None:
        """Remembers what was written.

        Args:
            token: The newest token.
        """
        if self._penalised is None:
            return
        penalty = self.settings.frequency_penalty
        if token not in self._penalised:
            self._penalised.add(token)
            penalty += self.settings.presence_penalty
        self.adjustments[token] = self.adjustments.get(token, 0.0) - penalty

    def draw(self) -> float | None:
        """Draws a number from 0 to 1, 1 left out; None where the likeliest token is taken."""
        return None if self._random is None else self._random.random()


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
    if all(row.is_plain for row in rows):
        return logits.argmax(dim=-1).tolist(), [None] * len(rows)
    asked = [number for number, row in enumerate(rows) if row.settings.logprobs is not None]
    # Before the adjustments: they are the model's own.
    logprobs = torch.log_softmax(logits[asked], dim=-1) if asked else None
    _adjust(logits, rows)
    chosen = logits.argmax(dim=-1)
    draws = {number: draw for number, row in enumerate(rows) if (draw := row.draw()) is not None}
    if draws:
        sampled = list(draws)
        chosen[sampled] = _sample(
            logits[sampled], [rows[number].settings for number in sampled], list(draws.values())
        )
    told: list[TokenLogprobs | None] = [None] * len(rows)
    if logprobs is not None:
        counts = [rows[number].settings.logprobs or 0 for number in asked]
        for number, row in zip(asked, _tell(logprobs, chosen[asked], counts), strict=True):
            told[number] = row
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
        where = (torch.tensor(places), torch.tensor(tokens))
        logits.index_put_(
            tuple(index.to(logits.device) for index in where),
            torch.tensor(values, dtype=logits.dtype, device=logits.device),
            accumulate=True,
        )


def _sample(
    logits: torch.Tensor, settings: Sequence[Sampling], draws: Sequence[float]
) -> torch.Tensor:
    """Draws a token a row; rows that leave all tokens to choose from need no sorting."""

    def column(values: Sequence[float]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.float64, device=logits.device)[:, None]

    # The likeliest token's logit is 0 before the division: no temperature makes it overflow.
    logits = logits - logits.amax(dim=-1, keepdim=True)
    logits = logits.double() / column([each.temperature for each in settings])
    draw = column(draws)
    chosen = torch.empty(len(settings), dtype=torch.long, device=logits.device)
    narrow = [row for row, each in enumerate(settings) if each.top_k > 0 or each.top_p < 1]
    wide = [row for row, each in enumerate(settings) if each.top_k <= 0 and each.top_p >= 1]
    if wide:
        chosen[wide] = _pick(logits[wide].softmax(dim=-1), draw[wide])
    if narrow:
        vocabulary = logits.shape[-1]
        likeliest, tokens = _likeliest(
            logits[narrow],
            column([settings[row].top_k or vocabulary for row in narrow]),
            column([settings[row].top_p for row in narrow]),
        )
        place = _pick(likeliest, draw[narrow])
        chosen[narrow] = tokens.gather(1, place[:, None])[:, 0]
    return chosen


def _likeliest(
    logits: torch.Tensor, top_k: torch.Tensor, top_p: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Leaves the likeliest tokens: their weights, 0 where they are left out, and their ids."""
    vocabulary = logits.shape[-1]
    whole = logits.logsumexp(dim=-1, keepdim=True)
    for count in (min(_LIKELIEST, vocabulary), vocabulary):
        values, tokens = logits.topk(count, dim=-1)
        ranks = torch.arange(count, device=logits.device)
        weights = (values - whole).exp().where(ranks < top_k, 0.0)
        # top_p is a share of what top_k leaves; weights beyond those seen are what is missing to 1.
        total = torch.where(top_k <= count, weights.sum(dim=-1, keepdim=True), 1.0)
        before = weights.cumsum(dim=-1) - weights
        left = weights.where((before < top_p * total) | (ranks == 0), 0.0)
        enough = (top_k <= count) | (weights.sum(dim=-1, keepdim=True) >= top_p)
        if count == vocabulary or bool(enough.all()):
            break
    return left, tokens


def _pick(weights: torch.Tensor, draw: torch.Tensor) -> torch.Tensor:
    """Picks a place a row, as likely as its weight: the first where the sum passes the draw."""
    sums = weights.cumsum(dim=-1)
    places = torch.searchsorted(sums, draw * sums[:, -1:], right=True)[:, 0]
    # Rounding may put the draw on the last sum itself: the last place of any weight is meant.
    last = (sums < sums[:, -1:]).sum(dim=-1)
    return torch.minimum(places, last)


def _tell(
    logprobs: torch.Tensor, chosen: torch.Tensor, counts: Sequence[int]
) -> list[TokenLogprobs]:
    own = logprobs.gather(1, chosen[:, None])[:, 0].tolist()
    values, tokens = logprobs.topk(max(counts), dim=-1)
    likeliest = [
        tuple(zip(row_tokens[:count], row_values[:count], strict=True))
        for row_tokens, row_values, count in zip(
            tokens.tolist(), values.tolist(), counts, strict=True
        )
    ]
    return [TokenLogprobs(*told) for told in zip(own, likeliest, strict=True)]
