"""What is kept of a dataset's examples: digests, lengths, labels, sketches, a few samples.

Texts themselves are not kept, so that memory does not grow with their length.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from dataclasses import dataclass, field

from msgspec import UNSET

from kfp_llm_tuning.components.data.reading.limits import ADVISED_PAIRS
from kfp_llm_tuning.components.data.reading.scan import Place
from kfp_llm_tuning.components.data.rows import ChatRow, Row, TextRow, answers
from kfp_llm_tuning.components.data.tasks import TaskFinder, can_be_label
from kfp_llm_tuning.components.validation.similarity import Sketch, sketch

SAMPLES = 6
SAMPLE_CHARACTERS = 2_000
# What is kept of an output for messages.
_OUTPUT_CHARACTERS = 100
# Randomness that is the same in every run: the same data gives the same report.
_SEED = 20_231_114


@dataclass(frozen=True)
class Sample:
    """An example as the report shows it.

    Attributes:
        line: Where it stands.
        path: "" or ``data[4]``.
        turns: Who says what: pairs of author and text, cut to ``SAMPLE_CHARACTERS``.
    """

    line: int
    path: str
    turns: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ExampleDigest:
    """What is kept of one example.

    Attributes:
        place: Where it stands.
        exact: Digest of input and output.
        input: Digest of the input, case and white space levelled.
        output: Digest of the output, levelled likewise.
        output_path: The field that holds the output, within the example.
        output_start: The output's beginning, for messages.
        label: The output where it is short enough to be a label, else "".
    """

    place: Place
    exact: bytes
    input: bytes
    output: bytes
    output_path: str
    output_start: str
    label: str


@dataclass
class DatasetProfile:
    """What is kept of one dataset's good examples, in their order.

    Attributes:
        examples: One an example.
        sketches: One an example, of its levelled input.
        input_characters: Lengths of the inputs: of chat, context and all messages but the last.
        output_characters: Lengths of the outputs: of chat, every assistant message.
        pairs: How often conversations of each number of user-assistant pairs occur.
        unusual_lengths: Conversations with fewer or more pairs than advised, with their number.
        blank: Examples whose input or output is white space only, with the field.
        samples: A random few.
        tasks: What the examples ask for, and their labels.
    """

    examples: list[ExampleDigest] = field(default_factory=list)
    sketches: list[Sketch] = field(default_factory=list)
    input_characters: list[int] = field(default_factory=list)
    output_characters: list[int] = field(default_factory=list)
    pairs: Counter[int] = field(default_factory=Counter)
    unusual_lengths: list[tuple[Place, int]] = field(default_factory=list)
    blank: list[tuple[Place, str]] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    tasks: TaskFinder = field(default_factory=TaskFinder)
    _random: random.Random = field(default_factory=lambda: random.Random(_SEED))

    def add(self, place: Place, row: Row) -> None:
        """Remembers one example."""
        self.tasks.add_row(row)
        prompt, path, answer = _input_and_output(row)
        level = level_text(prompt)
        self.sketches.append(sketch(level))
        self.examples.append(
            ExampleDigest(
                place,
                exact=_digest(f"{len(prompt)} {prompt}{answer}"),
                input=_digest(level),
                output=_digest(level_text(answer)),
                output_path=path,
                output_start=answer[:_OUTPUT_CHARACTERS],
                label=answer.strip() if can_be_label(answer) else "",
            )
        )
        self.input_characters.append(len(prompt))
        if isinstance(row, ChatRow):
            self.output_characters += (len(message.content) for _, message in answers(row))
            pairs = sum(message.author == "user" for message in row.messages)
            self.pairs[pairs] += 1
            if not ADVISED_PAIRS[0] <= pairs <= ADVISED_PAIRS[1]:
                self.unusual_lengths.append((place, pairs))
        else:
            self.output_characters.append(len(answer))
        self.blank += [(place, name) for name, text in _texts(row) if text.isspace()]
        self._sample(place, row)

    def _sample(self, place: Place, row: Row) -> None:
        """Keeps each of n examples with the same chance (Vitter's algorithm R)."""
        if len(self.samples) < SAMPLES:
            self.samples.append(_sample_of(place, row))
            return
        slot = self._random.randrange(len(self.examples))
        if slot < SAMPLES:
            self.samples[slot] = _sample_of(place, row)


def level_text(text: str) -> str:
    """Levels differences of case and white space."""
    return " ".join(text.casefold().split())


def _input_and_output(row: Row) -> tuple[str, str, str]:
    """Gives what is asked, the field of what is answered (of conversations last), and that."""
    if isinstance(row, TextRow):
        return row.input_text, "output_text", row.output_text
    context = "" if row.context is UNSET else str(row.context)
    last = len(row.messages) - 1
    position, answer = max(answers(row), default=(last, row.messages[last]))
    history = [f"{message.author}: {message.content}" for message in row.messages[:position]]
    return "\n".join([context, *history]), f"messages[{position}].content", answer.content


def _texts(row: Row) -> list[tuple[str, str]]:
    if isinstance(row, TextRow):
        return [("input_text", row.input_text), ("output_text", row.output_text)]
    return [(f"messages[{i}].content", m.content) for i, m in enumerate(row.messages)]


def _sample_of(place: Place, row: Row) -> Sample:
    if isinstance(row, TextRow):
        turns = [("input", row.input_text), ("output", row.output_text)]
    else:
        turns = [] if row.context is UNSET else [("context", str(row.context))]
        turns += [(message.author, message.content) for message in row.messages]
    return Sample(place.line, place.path, tuple((who, _cut(text)) for who, text in turns))


def _cut(text: str) -> str:
    return text if len(text) <= SAMPLE_CHARACTERS else text[: SAMPLE_CHARACTERS - 1] + "…"


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
