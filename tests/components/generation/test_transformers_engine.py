from __future__ import annotations

import torch

from kfp_llm_tuning.components.generation.engine import Generation, GenerationRequest
from kfp_llm_tuning.components.generation.transformers_engine import TransformersEngine

EOS = 2
PROMPTS = [[1, 50, 60, 70], [1, 80], [1, 50, 60, 70], [1, *range(30, 70)], [1, 99, 98, 97, 96]]


def requests(prompts, limit):
    return [GenerationRequest(prompt, limit, [EOS]) for prompt in prompts]


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
    assert engine.generate(requests(PROMPTS, 12)) == expected
    assert len({tuple(generation.tokens) for generation in expected}) > 2


def test_stops_at_any_of_the_stop_tokens(engine, model):
    third = naive_greedy(model, PROMPTS[1], 12, set()).tokens[2]
    generation = engine.generate([GenerationRequest(PROMPTS[1], 12, [EOS, third])])[0]
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
    assert other.generate(requests(PROMPTS, 12)) == engine.generate(requests(PROMPTS, 12))


def test_equal_prompts_are_computed_once(engine, monkeypatch):
    seen = []
    read = engine._rows.read
    monkeypatch.setattr(engine._rows, "read", lambda prompts: seen.extend(prompts) or read(prompts))
    generations = engine.generate(requests(PROMPTS, 4))
    assert len(seen) == 4
    assert generations[0] == generations[2]


def test_decodes_without_special_tokens(engine):
    ids = engine.tokenizer("Zürich")["input_ids"]
    assert engine.decode([[*ids, EOS], []]) == ["Zürich", ""]


def test_progress_is_logged(engine, caplog):
    with caplog.at_level("INFO"):
        engine.generate(requests(PROMPTS, 2))
    assert "4 of 4 prompts answered" in caplog.text
