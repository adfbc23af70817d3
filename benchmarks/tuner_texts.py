"""How long the texts are that `tuner.py` measures on: those of real datasets, of random tokens."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kfp_llm_tuning.components.data.token_sequence import TokenSequence

_SHORTEST = 2


@dataclass(frozen=True)
class Spread:
    """Tokens of a piece of text: normally distributed.

    Attributes:
        mean: Their mean.
        deviation: Their standard deviation.
    """

    mean: float
    deviation: float

    def draw(self, generator: np.random.Generator) -> int:
        """Draws a number, of two tokens and more."""
        return max(round(generator.normal(self.mean, self.deviation)), _SHORTEST)


@dataclass(frozen=True)
class Texts:
    """A kind of rows.

    Attributes:
        title: Names it in results.
        opening: Before the first answer.
        answer: Each answer.
        turn: Between two answers.
        answers: Answers of a row; all are learned.
    """

    title: str
    opening: Spread
    answer: Spread
    turn: Spread = Spread(0, 0)
    answers: int = 1

    @property
    def tokens(self) -> int:
        """Tokens of a row on average."""
        turns = (self.answers - 1) * self.turn.mean
        return round(self.opening.mean + self.answers * self.answer.mean + turns)

    def draw(self, count: int, vocabulary: int) -> list[TokenSequence]:
        """Makes rows of random tokens, the same each time.

        Args:
            count: How many.
            vocabulary: Tokens that they are made of, the first three excepted.
        """
        generator = np.random.default_rng(0)
        return [self._draw_one(generator, vocabulary) for _ in range(count)]

    def _draw_one(self, generator: np.random.Generator, vocabulary: int) -> TokenSequence:
        starts, stops = [], []
        position = 0
        for number in range(self.answers):
            position += (self.turn if number else self.opening).draw(generator)
            starts.append(position)
            position += self.answer.draw(generator)
            stops.append(position)
        ids = generator.integers(3, vocabulary, position).astype(np.int32)
        last = np.array(stops) - 1
        return TokenSequence(ids, np.array(starts, np.int32), np.array(stops, np.int32), ids[last])


# Lengths of three datasets in SmolLM2's tokens (clinc150's without the instruction that all of its
# rows share), means and deviations over their rows.
SHORT_ANSWERS = Texts("short answers", opening=Spread(62, 8), answer=Spread(4, 1))  # clinc150
LONG_ANSWERS = Texts("long answers", opening=Spread(93, 21), answer=Spread(130, 57))  # gsm8k
CHAT = Texts(  # Schema-Guided Dialogue, whole dialogues
    "chat", opening=Spread(40, 7), answer=Spread(18, 13), turn=Spread(20, 6), answers=9
)
TEXTS = {"short": SHORT_ANSWERS, "long": LONG_ANSWERS, "chat": CHAT}
