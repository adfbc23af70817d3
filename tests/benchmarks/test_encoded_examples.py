"""Encoded sets made for benchmarks are read as those of the encoder."""

from __future__ import annotations

from pathlib import Path

from encoded_examples import write_examples, write_sequences
from tuner_texts import CHAT

from kfp_llm_tuning.components.data.encoded_set import EncodedSet


def test_sequences_are_read_as_they_were_written(tmp_path: Path) -> None:
    rows = CHAT.draw(3, 50)
    read = EncodedSet(write_sequences(tmp_path, rows))
    assert read.examples == 3 * CHAT.answers
    for number, row in enumerate(rows):
        assert (read.sequence(number).labels == row.labels).all()


def test_an_answer_begins_behind_its_prompt(tmp_path: Path) -> None:
    read = EncodedSet(write_examples(tmp_path, [[5, 6, 7, 8]], [2]))
    assert read.sequence(0).labels.tolist() == [7, 8]
