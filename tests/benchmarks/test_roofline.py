"""What the roofline makes of counted steps."""

from __future__ import annotations

from pathlib import Path

import pytest
from counted_operations import H200
from encoded_examples import write_sequences
from real_lengths import apart
from roofline import (
    FIXED,
    LONG_ROW,
    REAL,
    Case,
    Mix,
    Prediction,
    Predictor,
    Ways,
    conclusions,
    examples_at_once,
    fits,
    state_bytes,
)
from tuner_texts import CHAT

from kfp_llm_tuning.components.data.encoded_set import EncodedSet

TINY = Case("tiny", "adapter", batch=18)


@pytest.fixture
def chat(tmp_path: Path) -> Mix:
    read = EncodedSet(write_sequences(tmp_path / "read", CHAT.draw(8, 50)))
    return Mix("chat", read, apart(read, tmp_path / "apart"))


def test_one_pass_a_conversation_gives_more_tokens_of_the_texts_a_second(chat: Mix) -> None:
    predictor = Predictor(H200)
    before = predictor.before(TINY, chat)
    now, fused = (predictor.now(TINY, chat, fused=fused) for fused in (False, True))
    assert before.tokens < now.tokens < fused.tokens
    assert before.seconds > now.seconds > fused.seconds
    assert now.share / now.tokens == pytest.approx(before.share / before.tokens)


def test_a_step_is_of_as_many_answers_either_way(chat: Mix) -> None:
    assert chat.dataset.examples == chat.answers_apart.examples == 8 * CHAT.answers
    assert chat.tokens_an_answer == pytest.approx(chat.length / CHAT.answers)
    assert chat.answers_apart.lengths.sum() > 4 * chat.dataset.lengths.sum()


def test_a_long_row_let_fewer_examples_be_taken_at_once() -> None:
    case = Case("8B", "adapter", batch=8)
    assert examples_at_once(case, 138, H200) == 8
    assert examples_at_once(case, 9216, H200) == 1


def test_states_of_full_tuning_are_too_many_for_one_gpu() -> None:
    assert state_bytes(Case("8B", "full", 8)) == pytest.approx(16 * 7.5e9, rel=0.01)
    assert fits(Case("8B", "adapter", 8), H200)
    assert not fits(Case("8B", "full", 8), H200)


def test_conclusions_are_ratios_of_the_predictions() -> None:
    def ways(tokens: float, share: float) -> Ways:
        return Ways(*[Prediction(1, tokens, share)] * 3)

    found = {title: ways(90, 0.45) for title in (*REAL, LONG_ROW)} | {FIXED: ways(100, 0.5)}
    found[LONG_ROW] = ways(45, 0.2)
    first, *_ = conclusions(found)
    assert first == (
        "before: a 9k row costs the others 2.00x; share of one length's share: "
        "0.90 (clinc150), 0.90 (gsm8k), 0.90 (sgd)"
    )
