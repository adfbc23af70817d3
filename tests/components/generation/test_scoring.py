from __future__ import annotations

import numpy as np
import pytest
import torch

from kfp_llm_tuning.components.generation import batches, scoring

EOS = 2
PROMPTS = [[1, 50, 60, 70], [1, 80], [1, 50, 60, 70], [1, *range(30, 70)], [1, 99, 98, 97, 96]]
CHOICES = [[40, 41, 42, EOS], [40, EOS], [90, 91, EOS]]


def naive_log_likelihood(model, prompt, completion):
    with torch.no_grad():
        logits = model(torch.tensor([[*prompt, *completion]])).logits[0].double()
    log_probabilities = torch.log_softmax(logits, dim=-1)
    start = len(prompt) - 1
    return sum(float(log_probabilities[start + i, t]) for i, t in enumerate(completion))


def test_scores_equal_those_of_a_plain_forward_pass(engine, model):
    completions = [CHOICES[i % 3] for i in range(len(PROMPTS))]
    expected = [
        naive_log_likelihood(model, p, c) for p, c in zip(PROMPTS, completions, strict=True)
    ]
    np.testing.assert_allclose(engine.score(PROMPTS, completions), expected, rtol=1e-5)


@pytest.mark.parametrize("budget", [2**16, 200, 1])
def test_choices_score_as_if_each_were_alone(engine, model, monkeypatch, budget):
    for module in (batches, scoring):
        monkeypatch.setattr(module, "TOKENS_PER_BATCH", budget)
    expected = [[naive_log_likelihood(model, p, c) for c in CHOICES] for p in PROMPTS]
    np.testing.assert_allclose(engine.score_choices(PROMPTS, CHOICES), expected, rtol=1e-5)


def test_choices_and_references_agree(engine):
    scores = engine.score_choices(PROMPTS, CHOICES)
    for column, choice in enumerate(CHOICES):
        alone = engine.score(PROMPTS, [choice] * len(PROMPTS))
        np.testing.assert_allclose(scores[:, column], alone, rtol=1e-5)
