"""What is kept of a dataset's examples: digests, lengths, labels, sketches, a few samples.

Of each example memory holds a digest and two places in files; the rest of it lies in these, so that
a million examples take some twenty megabytes, and their comparison thirty more.
"""

from __future__ import annotations

import random
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec
import numpy
from msgspec import UNSET
from numpy.typing import NDArray

from kfp_llm_tuning.components.data.reading.places import Place
from kfp_llm_tuning.components.data.rows import ChatRow, Row, TextRow, answers, message_text
from kfp_llm_tuning.components.data.similarity.files import RecordFile, SketchFile
from kfp_llm_tuning.components.data.similarity.inputs import digest, input_and_output, level_text
from kfp_llm_tuning.components.data.similarity.sketches import sketch
from kfp_llm_tuning.components.data.tasks import TaskFinder, can_be_label
from kfp_llm_tuning.components.validation.lengths import LengthCounts

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
        where: Its place: ``line 3``.
        turns: Who says what: pairs of author and text, cut to ``SAMPLE_CHARACTERS``.
    """

    where: str
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
    exact: int
    input: int
    output: int
    output_path: str
    output_start: str
    label: str


class ExampleFile:
    """The digests of examples, in their order: on disk, but for those of the inputs."""

    def __init__(self) -> None:
        """Starts empty."""
        self._records = RecordFile()
        self._inputs = array("Q")
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(ExampleDigest).decode

    def __len__(self) -> int:
        """Counts the examples."""
        return len(self._records)

    def append(self, example: ExampleDigest) -> None:
        """Adds an example."""
        self._inputs.append(example.input)
        self._records.append(self._encode(example))

    def __getitem__(self, number: int) -> ExampleDigest:
        """Reads the example of a number, from 0."""
        if number >= len(self):
            raise IndexError(number)
        return self._decode(self._records.read(number))

    def __iter__(self) -> Iterator[ExampleDigest]:
        """Reads one after the other."""
        return map(self.__getitem__, range(len(self)))

    @property
    def exact(self) -> NDArray[numpy.uint64]:
        """Digests of inputs and outputs; shape (examples,)."""
        digests = (example.exact for example in self)
        return numpy.fromiter(digests, numpy.uint64, count=len(self))

    @property
    def inputs(self) -> NDArray[numpy.uint64]:
        """Digests of the inputs; shape (examples,)."""
        return numpy.asarray(self._inputs)


@dataclass
class DatasetProfile:
    """What is kept of one dataset's good examples, in their order.

    Attributes:
        examples: One an example.
        sketches: One an example, of its levelled input.
        input_characters: Lengths of the inputs: of chat, context and all messages but the last.
        output_characters: Lengths of the outputs: of chat, every assistant message.
        pairs: How often conversations of each number of user-assistant pairs occur.
        samples: A random few.
        tasks: What the examples ask for, and their labels.
    """

    examples: ExampleFile = field(default_factory=ExampleFile)
    sketches: SketchFile = field(default_factory=SketchFile)
    input_characters: LengthCounts = field(default_factory=LengthCounts)
    output_characters: LengthCounts = field(default_factory=LengthCounts)
    pairs: Counter[int] = field(default_factory=Counter)
    samples: list[Sample] = field(default_factory=list)
    tasks: TaskFinder = field(default_factory=TaskFinder)
    _random: random.Random = field(default_factory=lambda: random.Random(_SEED))

    def add(self, place: Place, row: Row) -> None:
        """Remembers one example."""
        self.tasks.add_row(row)
        prompt, path, answer = input_and_output(row)
        level = level_text(prompt)
        self.sketches.append(sketch(level))
        self.examples.append(
            ExampleDigest(
                place,
                exact=digest(f"{len(prompt)} {prompt}{answer}"),
                input=digest(level),
                output=digest(level_text(answer)),
                output_path=path,
                output_start=answer[:_OUTPUT_CHARACTERS],
                label=answer.strip() if can_be_label(answer) else "",
            )
        )
        self.input_characters.add(len(prompt))
        if isinstance(row, ChatRow):
            self.output_characters.update(len(message_text(answer)) for _, answer in answers(row))
            self.pairs[count_pairs(row)] += 1
        else:
            self.output_characters.add(len(answer))
        self._sample(place, row)

    def _sample(self, place: Place, row: Row) -> None:
        """Keeps each of n examples with the same chance (Vitter's algorithm R)."""
        if len(self.samples) < SAMPLES:
            self.samples.append(_sample_of(place, row))
            return
        slot = self._random.randrange(len(self.examples))
        if slot < SAMPLES:
            self.samples[slot] = _sample_of(place, row)


def count_pairs(row: ChatRow) -> int:
    """Counts a conversation's user-assistant pairs."""
    return sum(message.author == "user" for message in row.messages)


def _sample_of(place: Place, row: Row) -> Sample:
    if isinstance(row, TextRow):
        turns = [("input", row.input_text), ("output", row.output_text)]
    else:
        turns = [] if row.context is UNSET else [("context", str(row.context))]
        turns += [(message.author, message_text(message)) for message in row.messages]
    return Sample(str(place), tuple((who, _cut(text)) for who, text in turns))


def _cut(text: str) -> str:
    return text if len(text) <= SAMPLE_CHARACTERS else text[: SAMPLE_CHARACTERS - 1] + "…"
