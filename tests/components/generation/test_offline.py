from __future__ import annotations

import pytest

from kfp_llm_tuning.components.generation.decoding import Decoder
from kfp_llm_tuning.components.generation.engine import GenerationRequest, Sampling
from kfp_llm_tuning.components.generation.offline import generate_all
from kfp_llm_tuning.components.generation.rows import RowModel
from tests.components.generation.greedy_decoding import greedy

EOS = 2


@pytest.fixture
def rows(model):
    return RowModel(model, pad=0)


def request(prompt, limit=4, **sampling):
    return GenerationRequest(prompt, limit, [EOS], Sampling(**sampling))


def test_answers_come_in_the_order_of_the_requests(rows, model):
    asked = [request([5] * length, 1 + length % 5) for length in (3, 40, 1, 17, 40, 2)]
    expected = [greedy(model, each.prompt, each.max_new_tokens, [EOS]) for each in asked]
    assert generate_all(Decoder(rows), asked) == expected
    assert generate_all(Decoder(rows), []) == []


def test_equal_requests_are_computed_once_where_they_get_the_same(rows, monkeypatch):
    seen = []
    read = rows.read
    monkeypatch.setattr(rows, "read", lambda prompts: seen.extend(prompts) or read(prompts))
    greedy_twice = [request([5, 6]), request((5, 6))]
    seeded_twice = [request([5, 6], temperature=1.0, seed=1)] * 2
    drawn_twice = [request([5, 6], temperature=1.0)] * 2
    other_limit = [request([5, 6], 3)]
    found = generate_all(Decoder(rows), [*greedy_twice, *seeded_twice, *drawn_twice, *other_limit])
    assert len(seen) == 5
    assert found[0] == found[1]
    assert found[2] == found[3]


def test_logprobs_are_given_where_they_are_asked_for(rows):
    plain, told = generate_all(Decoder(rows), [request([5, 6]), request([5, 6], logprobs=1)])
    assert plain.logprobs == ()
    assert [each.likeliest[0][0] for each in told.logprobs] == told.tokens == plain.tokens


def test_a_failure_is_raised_as_it_is(rows, monkeypatch):
    def fail(prompts):
        raise ZeroDivisionError

    monkeypatch.setattr(rows, "read", fail)
    with pytest.raises(ZeroDivisionError):
        generate_all(Decoder(rows), [request([5]), request([6])])


def test_progress_is_logged(rows, caplog):
    with caplog.at_level("INFO"):
        generate_all(Decoder(rows), [request([number]) for number in (5, 6, 7, 5)])
    assert "3 of 3 prompts answered" in caplog.text
