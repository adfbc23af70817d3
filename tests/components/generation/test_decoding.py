"""The loop by itself, one step after the other, with the tiny Llama in float32."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kfp_llm_tuning.components.generation import decoding
from kfp_llm_tuning.components.generation.decoding import Decoder, Row
from kfp_llm_tuning.components.generation.engine import Generation, GenerationRequest, Sampling
from kfp_llm_tuning.components.generation.rows import RowModel, Rows
from tests.components.generation.greedy_decoding import greedy
from tests.components.generation.listeners import RecordingListener

EOS = 2


@pytest.fixture(scope="module")
def rows(model: Any) -> RowModel:
    return RowModel(model, pad=0)


@pytest.fixture(scope="module")
def alone(model: Any) -> Callable[[tuple[int, ...], int], Generation]:
    """What a prompt gets with nothing beside it."""
    return cache(lambda prompt, limit: greedy(model, prompt, limit, [EOS]))


def add(
    decoder: Decoder, prompt: tuple[int, ...], limit: int, sampling: Sampling | None = None
) -> tuple[RecordingListener, Row]:
    listener = RecordingListener()
    row = Row(GenerationRequest(prompt, limit, [EOS], sampling or Sampling()), listener)
    decoder.add(row)
    return listener, row


def finish(decoder: Decoder) -> None:
    while decoder.busy:
        decoder.step()


prompts = st.tuples(st.integers(1, 20), st.integers(3, 250)).map(
    lambda drawn: tuple(3 + (drawn[1] + 7 * place) % 250 for place in range(drawn[0]))
)
plans = st.lists(
    st.one_of(
        st.tuples(st.just("submit"), prompts, st.integers(1, 12)),
        st.tuples(st.just("cancel"), st.integers(0, 99), st.just(0)),
        st.tuples(st.just("step"), st.integers(1, 4), st.just(0)),
    ),
    max_size=25,
)


@settings(deadline=None, max_examples=40)
@given(plans)
def test_any_schedule_gives_every_row_what_it_gets_alone(rows, alone, plan):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "BATCH_SIZE", 4)
        patch.setattr(decoding, "TOKENS_PER_BATCH", 80)
        patch.setattr(decoding, "_PROMPT_TOKENS", 25)
        seen = []
        append = Rows.append
        patch.setattr(
            Rows,
            "append",
            lambda batch, tokens: seen.append((len(batch), batch.width)) or append(batch, tokens),
        )
        decoder = Decoder(rows)
        asked = []
        for what, *how in plan:
            if what == "submit":
                asked.append((*how, *add(decoder, *how)))
            elif what == "cancel" and asked:
                asked[how[0] % len(asked)][3].cancel()
            elif what == "step":
                for _ in range(how[0]):
                    decoder.step()
        finish(decoder)
    for prompt, limit, listener, row in asked:
        expected = alone(prompt, limit)
        if listener.ended.is_set():
            assert listener.generation == expected
        else:
            assert row.cancelled
            assert listener.tokens == expected.tokens[: len(listener.tokens)]
    assert all(count <= 4 and (count == 1 or count * width <= 80) for count, width in seen)


def test_a_long_answer_blocks_no_short_one(rows, alone):
    decoder = Decoder(rows)
    long, _ = add(decoder, (5, 6, 7), 100)
    decoder.step()
    short, _ = add(decoder, (8, 9), 3)
    decoder.step()
    decoder.step()
    assert short.generation == alone((8, 9), 3)
    assert not long.ended.is_set()
    assert len(long.tokens) < 10


def test_a_prompt_longer_than_a_steps_share_is_read_beside_others(rows, alone, monkeypatch):
    monkeypatch.setattr(decoding, "_PROMPT_TOKENS", 5)
    decoder = Decoder(rows)
    first, _ = add(decoder, (5, 6), 50)
    decoder.step()
    longer, _ = add(decoder, tuple(range(30, 50)), 3)
    after, _ = add(decoder, (7,), 3)
    decoder.step()
    assert (len(longer.tokens), len(after.tokens)) == (2, 0)
    finish(decoder)
    assert longer.generation == alone(tuple(range(30, 50)), 3)
    assert after.generation == alone((7,), 3)
    assert first.generation == alone((5, 6), 50)


def test_prompts_of_similar_length_are_read_together(rows, monkeypatch):
    read: list[list[int]] = []
    whole = rows.read
    monkeypatch.setattr(
        rows, "read", lambda prompts: read.append(list(map(len, prompts))) or whole(prompts)
    )
    decoder = Decoder(rows)
    for length in (10, 200, 12, 190, 30):
        add(decoder, (5,) * length, 1)
    decoder.step()
    assert read == [[200, 190], [30, 12, 10]]


def test_a_batch_is_bounded_by_the_tokens_it_may_come_to(rows, monkeypatch):
    monkeypatch.setattr(decoding, "TOKENS_PER_BATCH", 60)
    decoder = Decoder(rows)
    listeners = [add(decoder, (5,) * 10, 10)[0] for _ in range(4)]
    beyond, _ = add(decoder, (6,) * 10, 90)
    decoder.step()
    assert [len(each.tokens) for each in listeners] == [2, 2, 2, 0]
    finish(decoder)
    assert all(each.ended.is_set() for each in [*listeners, beyond])


def test_rows_wait_where_none_may_join(rows, alone, monkeypatch):
    monkeypatch.setattr(rows, "rows_may_join", False)
    decoder = Decoder(rows)
    together = [add(decoder, prompt, 4)[0] for prompt in [(5, 6, 7), (8,)]]
    decoder.step()
    late, _ = add(decoder, (9, 10), 2)
    decoder.step()
    assert [len(each.tokens) for each in together] == [3, 3]
    assert late.tokens == []
    finish(decoder)
    assert together[0].generation == alone((5, 6, 7), 4)
    assert late.generation == alone((9, 10), 2)


def test_one_bad_prompt_fails_alone(rows, alone, monkeypatch):
    whole = rows.read

    def read(prompts):
        if any(13 in prompt for prompt in prompts):
            raise ValueError("unlucky")
        return whole(prompts)

    monkeypatch.setattr(rows, "read", read)
    decoder = Decoder(rows)
    good = [add(decoder, (5, 6), 5)[0]]
    bad, _ = add(decoder, (5, 13), 5)
    good.append(add(decoder, (7, 8, 9), 5)[0])
    finish(decoder)
    assert isinstance(bad.error, ValueError)
    assert [each.generation for each in good] == [alone((5, 6), 5), alone((7, 8, 9), 5)]


def test_rows_that_do_not_fit_together_are_done_one_by_one(rows, alone, monkeypatch):
    append = Rows.append

    def out_of_memory(batch, tokens):
        if len(batch) > 1 and batch.width > 6:
            raise torch.OutOfMemoryError("too much")
        return append(batch, tokens)

    monkeypatch.setattr(Rows, "append", out_of_memory)
    monkeypatch.setattr(decoding, "BATCH_SIZE", 4)
    decoder = Decoder(rows)
    listeners = {prompt: add(decoder, prompt, 9)[0] for prompt in [(5, 6, 7), (8, 9), (10,)]}
    drawn, _ = add(decoder, (11, 12), 9, Sampling(1.0, seed=3, frequency_penalty=1.0))
    late, _ = add(decoder, (13,), 2)
    while not drawn.ended.is_set():
        decoder.step()
        assert late.tokens == []
    finish(decoder)
    for prompt, each in listeners.items():
        assert each.generation == alone(prompt, 9)
    assert len(drawn.tokens) == 9 or drawn.finished
    assert late.generation == alone((13,), 2)
    assert not decoder.broken


@pytest.mark.parametrize("change", ["keep", "join"])
def test_rows_whose_batch_cannot_be_changed_start_over(rows, alone, monkeypatch, change):
    calls = []
    whole = getattr(Rows, change)

    def fail(batch, how):
        calls.append(change)
        if len(batch) > 1 or change == "join":
            raise torch.OutOfMemoryError("too much")
        whole(batch, how)

    monkeypatch.setattr(Rows, change, fail)
    decoder = Decoder(rows)
    listeners = {(5, 6): add(decoder, (5, 6), 3)[0], (7, 8, 9): add(decoder, (7, 8, 9), 5)[0]}
    decoder.step()
    listeners[10,] = add(decoder, (10,), 5)[0]
    finish(decoder)
    assert calls
    assert listeners[5, 6].generation == alone((5, 6), 3)
    assert listeners[7, 8, 9].generation == alone((7, 8, 9), 5)
    assert listeners[10,].generation == alone((10,), 5)


def test_a_failed_device_is_told(rows, monkeypatch):
    def fail(batch, tokens):
        raise torch.AcceleratorError("device-side assert")

    monkeypatch.setattr(Rows, "append", fail)
    decoder = Decoder(rows)
    listener, _ = add(decoder, (5, 6), 5)
    finish(decoder)
    assert isinstance(listener.error, torch.AcceleratorError)
    assert decoder.broken


@pytest.mark.parametrize("call", ["on_token", "on_end"])
def test_a_listener_that_fails_is_dropped(rows, alone, caplog, monkeypatch, call):
    decoder = Decoder(rows)
    bad, _ = add(decoder, (5, 6), 3)
    good, _ = add(decoder, (7, 8), 3)
    calls = []

    def fail(*arguments):
        calls.append(arguments)
        raise KeyError("listener")

    monkeypatch.setattr(bad, call, fail)
    finish(decoder)
    assert len(calls) == 1
    assert "A listener failed" in caplog.text
    assert good.generation == alone((7, 8), 3)


def test_drawn_rows_do_not_hang_on_their_neighbours(rows):
    asked = Sampling(1.0, 0.95, 40, seed=11, presence_penalty=0.5, logprobs=2)
    found = []
    for neighbours in (0, 3):
        decoder = Decoder(rows)
        for number in range(neighbours):
            add(decoder, (20 + number, 21), 4 + 6 * number, Sampling(0.9, seed=number))
            decoder.step()
        listener, _ = add(decoder, (5, 6, 7), 12, asked)
        finish(decoder)
        found.append(listener)
    assert found[0].tokens == found[1].tokens
    assert len(found[0].tokens) == 12
    for one, other in zip(found[0].logprobs, found[1].logprobs, strict=True):
        assert one.chosen == pytest.approx(other.chosen, abs=1e-4)


def test_logprobs_are_those_of_a_plain_forward_pass(rows, model):
    decoder = Decoder(rows)
    add(decoder, (9, 9, 9, 9, 9), 3)
    decoder.step()
    asked = Sampling(0.8, seed=1, logprobs=3, logit_bias={40: 3.0}, frequency_penalty=1.0)
    listener, _ = add(decoder, (5, 6, 7), 8, asked)
    finish(decoder)
    with torch.no_grad():
        logits = model(torch.tensor([[5, 6, 7, *listener.tokens]])).logits[0].double()
    expected = logits.log_softmax(dim=-1)[2:]
    for place, (token, told) in enumerate(zip(listener.tokens, listener.logprobs, strict=True)):
        assert told.chosen == pytest.approx(float(expected[place, token]), abs=1e-4)
        best = expected[place].topk(3)
        assert [each for each, _ in told.likeliest] == best.indices.tolist()
        for (_, logprob), value in zip(told.likeliest, best.values.tolist(), strict=True):
            assert logprob == pytest.approx(value, abs=1e-4)


def test_all_hear_of_an_error(rows):
    decoder = Decoder(rows)
    listeners = [add(decoder, (5, 6), 9)[0]]
    decoder.step()
    listeners.append(add(decoder, (7,), 9)[0])
    decoder.fail(RuntimeError("over"))
    assert not decoder.busy
    assert [str(each.error) for each in listeners] == ["over", "over"]
