from __future__ import annotations

import pytest

from kfp_llm_tuning.components.generation.engine import GenerationRequest, Sampling
from kfp_llm_tuning.components.generation.request_limits import within_limits


def limited(prompt, limit=4, **sampling):
    request = GenerationRequest(prompt, limit, [2], Sampling(**sampling))
    return within_limits(request, context_length=8, vocabulary=10)


def test_answers_end_with_the_context():
    assert limited([1] * 7).max_new_tokens == 1
    assert limited([1] * 4).max_new_tokens == 4
    assert limited([1], 100).max_new_tokens == 7


@pytest.mark.parametrize(("prompt", "limit"), [([], 4), ([1] * 8, 4), ([1], 0)])
def test_there_must_be_a_prompt_and_room_for_an_answer(prompt, limit):
    with pytest.raises(ValueError, match=f"{len(prompt)} tokens and {limit} new ones.* within 8"):
        limited(prompt, limit)


@pytest.mark.parametrize("token", [-1, 10])
def test_tokens_must_be_the_models(token):
    with pytest.raises(ValueError, match="below 10"):
        limited([1, token])
    with pytest.raises(ValueError, match="below 10"):
        limited([1], logit_bias={token: 1.0})
