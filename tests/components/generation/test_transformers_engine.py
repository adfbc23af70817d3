from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from kfp_llm_tuning.components.evaluation import batches
from kfp_llm_tuning.components.evaluation import engine as engine_module
from kfp_llm_tuning.components.generation.transformers_engine import Generation, TransformersEngine

EOS = 2
PROMPTS = [[1, 50, 60, 70], [1, 80], [1, 50, 60, 70], [1, *range(30, 70)], [1, 99, 98, 97, 96]]
CHOICES = [[40, 41, 42, EOS], [40, EOS], [90, 91, EOS]]


@pytest.fixture(scope="module")
def engine(model_folder):
    with pytest.MonkeyPatch.context() as patch:
        # Exactness can be seen in float32 only.
        patch.setattr(engine_module, "_fastest_dtype", lambda device: torch.float32)
        return TransformersEngine(model_folder)


@pytest.fixture(scope="module")
def model(model_folder):
    return AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32).eval()


def naive_log_likelihood(model, prompt, completion):
    with torch.no_grad():
        logits = model(torch.tensor([[*prompt, *completion]])).logits[0].double()
    log_probabilities = torch.log_softmax(logits, dim=-1)
    start = len(prompt) - 1
    return sum(float(log_probabilities[start + i, t]) for i, t in enumerate(completion))


def naive_greedy(model, prompt, count, stops):
    tokens = list(prompt)
    for _ in range(count):
        with torch.no_grad():
            token = int(model(torch.tensor([tokens])).logits[0, -1].argmax())
        if token in stops:
            return Generation(tokens[len(prompt) :], finished=True)
        tokens.append(token)
    return Generation(tokens[len(prompt) :], finished=False)


def test_generates_what_each_prompt_gets_alone(engine, model):
    expected = [naive_greedy(model, prompt, 12, {EOS}) for prompt in PROMPTS]
    assert engine.generate(PROMPTS, 12, [EOS]) == expected
    assert len({tuple(generation.tokens) for generation in expected}) > 2


def test_stops_at_any_of_the_stop_tokens(engine, model):
    third = naive_greedy(model, PROMPTS[1], 12, set()).tokens[2]
    generation = engine.generate([PROMPTS[1]], 12, [EOS, third])[0]
    assert generation.finished
    assert third not in generation.tokens
    assert len(generation.tokens) <= 2


def test_the_folders_own_sampling_is_not_used(model_folder, tmp_path, engine):
    import shutil

    folder = tmp_path / "sampling"
    shutil.copytree(model_folder, folder)
    (folder / "generation_config.json").write_text(
        '{"do_sample": true, "temperature": 5.0, "repetition_penalty": 3.0, "max_length": 3}'
    )
    other = TransformersEngine(folder)
    other.model.float()
    assert other.generate(PROMPTS, 12, [EOS]) == engine.generate(PROMPTS, 12, [EOS])


def test_equal_prompts_are_computed_once(engine, monkeypatch):
    seen = []
    original = engine._generate_batch

    def count(prompts, config):
        seen.extend(prompts)
        return original(prompts, config)

    monkeypatch.setattr(engine, "_generate_batch", count)
    generations = engine.generate(PROMPTS, 4, [EOS])
    assert len(seen) == 4
    assert generations[0] == generations[2]


def test_scores_equal_those_of_a_plain_forward_pass(engine, model):
    completions = [CHOICES[i % 3] for i in range(len(PROMPTS))]
    expected = [
        naive_log_likelihood(model, p, c) for p, c in zip(PROMPTS, completions, strict=True)
    ]
    np.testing.assert_allclose(engine.score(PROMPTS, completions), expected, rtol=1e-5)


@pytest.mark.parametrize("budget", [2**16, 200, 1])
def test_choices_score_as_if_each_were_alone(engine, model, monkeypatch, budget):
    for module in (batches, engine_module):
        monkeypatch.setattr(module, "TOKENS_PER_BATCH", budget)
    expected = [[naive_log_likelihood(model, p, c) for c in CHOICES] for p in PROMPTS]
    np.testing.assert_allclose(engine.score_choices(PROMPTS, CHOICES), expected, rtol=1e-5)


def test_choices_and_references_agree(engine):
    scores = engine.score_choices(PROMPTS, CHOICES)
    for column, choice in enumerate(CHOICES):
        alone = engine.score(PROMPTS, [choice] * len(PROMPTS))
        np.testing.assert_allclose(scores[:, column], alone, rtol=1e-5)


def test_decodes_without_special_tokens(engine):
    ids = engine.tokenizer("Zürich")["input_ids"]
    assert engine.decode([[*ids, EOS], []]) == ["Zürich", ""]


def test_progress_is_logged(engine, caplog):
    with caplog.at_level("INFO"):
        engine.generate(PROMPTS, 2, [EOS])
    assert "4 of 4 prompts answered" in caplog.text
