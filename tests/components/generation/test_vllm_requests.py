from __future__ import annotations

from types import SimpleNamespace

import pytest

from kfp_llm_tuning.components.generation import vllm_requests
from kfp_llm_tuning.components.generation.engine import (
    Generation,
    GenerationRequest,
    Sampling,
    TokenLogprobs,
)
from tests.components.generation import fake_vllm


@pytest.fixture(autouse=True)
def vllm(monkeypatch):
    fake_vllm.install(monkeypatch)


def asked(**sampling):
    request = GenerationRequest([1, 2], 7, [3, 4], Sampling(**sampling))
    return vars(vllm_requests.sampling_parameters(request, "DELTA"))


def test_every_part_of_a_request_is_told():
    assert asked(
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        seed=11,
        presence_penalty=0.1,
        frequency_penalty=-0.2,
        logit_bias={5: -100.0},
        logprobs=3,
    ) == {
        "max_tokens": 7,
        "stop_token_ids": [3, 4],
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 40,
        "seed": 11,
        "presence_penalty": 0.1,
        "frequency_penalty": -0.2,
        "logit_bias": {5: -100.0},
        "logprobs": 3,
        "output_kind": fake_vllm.RequestOutputKind.DELTA,
        "ignore_eos": True,
        "detokenize": False,
    }


def test_what_is_not_asked_for_is_left_to_chance_or_out():
    parameters = asked()
    assert parameters["temperature"] == 0
    assert {parameters[name] for name in ("seed", "logit_bias", "logprobs")} == {None}


@pytest.mark.parametrize("seed", [-1, -(2**63), 2**64, 0])
def test_any_seed_is_one_that_vllm_repeats(seed):
    told = asked(seed=seed)["seed"]
    assert 0 <= told < 2**63
    assert (told - seed) % 2**63 == 0


def test_what_vllm_refuses_is_a_mistake_in_the_request():
    with pytest.raises(ValueError, match="temperature must be in"):
        asked(temperature=9.0)


def written(tokens, reason, logprobs=None):
    return SimpleNamespace(token_ids=tokens, finish_reason=reason, logprobs=logprobs)


def read(output, **sampling):
    return vllm_requests.generation(output, GenerationRequest([1], 9, [3], Sampling(**sampling)))


def test_the_token_that_ends_an_answer_is_no_part_of_it():
    assert read(written([5, 6, 3], "stop")) == Generation([5, 6], finished=True)
    assert read(written([3], "stop")) == Generation([], finished=True)
    assert read(written([5, 3], "length")) == Generation([5, 3], finished=False)
    assert read(written([5], None)) == Generation([5], finished=False)


def test_log_probabilities_of_the_chosen_and_the_likeliest():
    def logprob(value):
        return SimpleNamespace(logprob=value)

    output = written(
        [5, 3],
        "stop",
        [
            {5: logprob(-3.0), 8: logprob(-1.0), 7: logprob(-0.5)},
            {3: logprob(-0.1), 8: logprob(-1.0)},
        ],
    )
    expected = TokenLogprobs(-3.0, ((7, -0.5), (8, -1.0)))
    assert read(output, logprobs=2).logprobs == (expected,)
    assert read(output, logprobs=0).logprobs == (TokenLogprobs(-3.0),)
    assert read(output).logprobs == ()


def test_an_answer_that_vllm_gave_up_is_an_error():
    with pytest.raises(RuntimeError, match="abort"):
        read(written([5], "abort"))


def test_only_the_completions_tokens_are_scored():
    position = {4: SimpleNamespace(logprob=-2.0), 9: SimpleNamespace(logprob=-0.5)}
    assert vllm_requests.log_likelihood([None, position, position, position], [4, 9]) == -2.5
