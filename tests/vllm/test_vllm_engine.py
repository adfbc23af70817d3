"""The engine with vLLM itself, beside transformers, both in float32 on the CPU.

`make test-vllm` runs it in an environment of its own: vLLM wants versions that others do not.
"""

from __future__ import annotations

import signal

import numpy as np
import psutil
import pytest

from kfp_llm_tuning.components.generation import transformers_engine, vllm_engine
from kfp_llm_tuning.components.generation.engine import GenerationRequest, Sampling
from kfp_llm_tuning.components.generation.transformers_engine import TransformersEngine
from kfp_llm_tuning.components.generation.vllm_engine import VllmEngine
from tests.components.generation.listeners import RecordingListener

EOS = 2
PROMPTS = [[1, 50, 60, 70], [1, 80], [1, 50, 60, 70], [1, *range(30, 70)], [1, 99, 98, 97, 96]]
CHOICES = [[40, 41, 42, EOS], [40, EOS], [90, 91, EOS]]


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    """A byte-level Llama, its weights random and large: they tell every token from every other."""
    import torch
    from transformers import LlamaForCausalLM

    from kfp_llm_tuning.components.models import byte_tiny

    config = byte_tiny.build_config()
    config.update({"num_hidden_layers": 2, "initializer_range": 0.1})
    torch.manual_seed(3)
    folder = tmp_path_factory.mktemp("model")
    LlamaForCausalLM(config).save_pretrained(folder)
    byte_tiny.build_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def engine(model_folder):
    import torch

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transformers_engine, "fastest_dtype", lambda: torch.float32)
        opened = TransformersEngine(model_folder)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def open_vllm(model_folder):
    """Opens engines that compute in float32, with a gigabyte for their cache."""

    def open_engine():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(vllm_engine, "_dtype", lambda: "float32")
            patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
            return VllmEngine(model_folder)

    return open_engine


@pytest.fixture(scope="module")
def vllm(open_vllm):
    opened = open_vllm()
    yield opened
    opened.close()


def requests(limit=12, stops=(EOS,), **sampling):
    return [
        GenerationRequest(prompt, limit, list(stops), Sampling(**sampling)) for prompt in PROMPTS
    ]


def submitted(engine, request):
    listener = RecordingListener()
    engine.submit(request, listener)
    assert listener.ended.wait(120)
    return listener


def assert_alike(found, expected):
    assert [(g.tokens, g.finished) for g in found] == [(g.tokens, g.finished) for g in expected]
    for one, other in zip(found, expected, strict=True):
        for mine, theirs in zip(one.logprobs, other.logprobs, strict=True):
            assert mine.chosen == pytest.approx(theirs.chosen, abs=1e-3)
            assert [t for t, _ in mine.likeliest] == [t for t, _ in theirs.likeliest]
            np.testing.assert_allclose(
                [value for _, value in mine.likeliest],
                [value for _, value in theirs.likeliest],
                atol=1e-3,
            )


@pytest.mark.parametrize(
    "sampling",
    [
        {},
        {"logprobs": 0},
        {"logprobs": 3},
        {"logit_bias": {77: 100.0, 78: 99.0}, "logprobs": 1},
        {"presence_penalty": 2.0, "logprobs": 1},
        {"frequency_penalty": 1.5},
        {"temperature": 0.7, "top_k": 1, "logprobs": 2},
    ],
    ids=str,
)
def test_writes_what_transformers_writes(vllm, engine, sampling):
    assert_alike(vllm.generate(requests(**sampling)), engine.generate(requests(**sampling)))


def test_ends_at_any_of_the_stop_tokens(vllm, engine):
    stops = [EOS, engine.generate(requests())[1].tokens[2]]
    expected = engine.generate(requests(stops=stops))
    assert expected[1].finished
    assert_alike(vllm.generate(requests(stops=stops)), expected)


def test_listeners_hear_what_a_batch_gets(vllm):
    for sampling in ({"logprobs": 2}, {"temperature": 1.0, "seed": 5, "logprobs": 1}):
        stop = vllm.generate(requests(**sampling))[3].tokens[-1]
        request = requests(stops=[stop], **sampling)[3]
        generation = vllm.generate([request])[0]
        listener = submitted(vllm, request)
        assert listener.tokens == generation.tokens
        assert listener.finished is generation.finished is True
        assert tuple(listener.logprobs) == pytest.approx(generation.logprobs)


def test_seeds_repeat_a_choice(vllm):
    texts = {
        seed: [g.tokens for g in vllm.generate(requests(temperature=1.0, seed=seed))]
        for seed in (7, -1, 2**63 - 2)
    }
    for seed, tokens in texts.items():
        again = vllm.generate(requests(temperature=1.0, seed=seed))
        assert [g.tokens for g in again] == tokens
    assert len({str(tokens) for tokens in texts.values()}) == 3
    unseeded = [str(vllm.generate(requests(temperature=1.0))) for _ in range(2)]
    assert unseeded[0] != unseeded[1]


def test_scores_what_transformers_scores(vllm, engine):
    completions = [CHOICES[index % 3] for index in range(len(PROMPTS))]
    np.testing.assert_allclose(
        vllm.score(PROMPTS, completions), engine.score(PROMPTS, completions), rtol=1e-4
    )
    np.testing.assert_allclose(
        vllm.score_choices(PROMPTS, CHOICES), engine.score_choices(PROMPTS, CHOICES), rtol=1e-4
    )


def test_long_texts_are_scored_whole(vllm, engine):
    prompt = [1, *[3 + index % 250 for index in range(5000)]]
    np.testing.assert_allclose(
        vllm.score([prompt], [CHOICES[0]]), engine.score([prompt], [CHOICES[0]]), rtol=1e-4
    )


def test_a_cancelled_request_frees_its_place(vllm):
    listener = RecordingListener()
    ticket = vllm.submit(GenerationRequest(PROMPTS[0], 10_000, []), listener)
    assert listener.under_way.wait(120)
    ticket.cancel()
    submitted(vllm, requests()[0])
    count = len(listener.tokens)
    submitted(vllm, requests()[1])
    assert len(listener.tokens) == count
    assert not listener.ended.is_set()
    assert vllm._vllm.get_num_unfinished_requests() == 0


def test_a_refused_request_harms_no_other(vllm):
    with pytest.raises(ValueError, match="temperature"):
        vllm.submit(
            GenerationRequest([1, 5], 4, [], Sampling(temperature=9.0)), RecordingListener()
        )
    assert submitted(vllm, requests()[0]).ended.is_set()


def started_by(open_engine):
    """Opens an engine, and tells its processes: vLLM's own, which start others."""
    before = psutil.Process().children(recursive=True)
    engine = open_engine()
    return engine, [p for p in psutil.Process().children(recursive=True) if p not in before]


def test_ctrl_c_is_left_to_the_server(open_vllm):
    engine, processes = started_by(open_vllm)
    listener = RecordingListener()
    engine.submit(GenerationRequest(PROMPTS[0], 2000, []), listener)
    assert listener.under_way.wait(120)
    for process in processes:
        process.send_signal(signal.SIGINT)
    assert listener.ended.wait(300)
    assert len(listener.tokens) == 2000
    assert engine.alive
    engine.close()


def test_it_ends_without_leaving_a_process(open_vllm, caplog):
    engine, processes = started_by(open_vllm)
    listener = RecordingListener()
    engine.submit(GenerationRequest(PROMPTS[0], 10_000, []), listener)
    assert listener.under_way.wait(120)
    engine.close()
    assert "closed" in str(listener.error)
    _, alive = psutil.wait_procs(processes, timeout=60)
    assert [process for process in alive if "VLLM" in process.name()] == []
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_the_death_of_its_processes_is_noticed(open_vllm):
    engine, processes = started_by(open_vllm)
    listener = RecordingListener()
    engine.submit(GenerationRequest(PROMPTS[0], 10_000, []), listener)
    assert listener.under_way.wait(120)
    for process in processes:
        process.kill()
    assert listener.ended.wait(120)
    assert isinstance(listener.error, Exception)
    assert not engine.alive
    engine.close()
