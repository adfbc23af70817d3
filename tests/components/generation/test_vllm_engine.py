"""The engine's own work, on a vLLM that has no model; tests/vllm has the real one."""

from __future__ import annotations

import atexit
import os
import signal
import threading

import numpy as np
import pytest
import torch

from kfp_llm_tuning.components.generation import vllm_engine
from kfp_llm_tuning.components.generation.engine import (
    Generation,
    GenerationRequest,
    Sampling,
    TokenLogprobs,
)
from kfp_llm_tuning.components.generation.vllm_engine import VllmEngine
from tests.components.generation import fake_vllm
from tests.components.generation.listeners import RecordingListener


@pytest.fixture
def open_engine(monkeypatch, model_folder):
    opened = []

    def open_on(gpus=1, **platform):
        fake_vllm.install(monkeypatch, **platform)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        for name in vllm_engine._ENVIRONMENT:
            monkeypatch.setenv(name, "")
            monkeypatch.delenv(name)
        opened.append(VllmEngine(model_folder))
        return opened[-1]

    yield open_on
    for engine in opened:
        engine.close()


@pytest.fixture
def engine(open_engine):
    return open_engine()


@pytest.fixture
def vllm(engine):
    return fake_vllm.AsyncLLM.opened


def asked(prompt, limit=5, stops=(), **sampling):
    return GenerationRequest(prompt, limit, list(stops), Sampling(**sampling))


def hear(engine, request):
    listener = RecordingListener()
    engine.submit(request, listener)
    listener.ended.wait(60)
    return listener


def test_tells_what_it_runs(engine, vllm, model_folder):
    assert (engine.device, engine.precision) == ("cuda", "bfloat16")
    assert engine.context_length == fake_vllm.CONTEXT
    assert engine.alive
    arguments = vllm.arguments
    assert arguments.model == str(model_folder)
    assert arguments.dtype == "bfloat16"
    assert arguments.load_format == "safetensors"
    assert not arguments.trust_remote_code
    assert not arguments.enforce_eager


def test_nothing_is_reported_to_the_makers_of_vllm(engine):
    assert os.environ["VLLM_NO_USAGE_STATS"] == "1"


def test_ctrl_c_does_not_reach_the_processes_of_vllm(vllm):
    assert signal.SIGINT in vllm.blocked
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


@pytest.mark.parametrize(("gpus", "shards"), [(0, 1), (1, 1), (2, 2), (3, 2)])
def test_as_many_gpus_as_the_heads_can_be_dealt_out_to(open_engine, gpus, shards):
    open_engine(gpus)
    assert fake_vllm.AsyncLLM.opened.arguments.tensor_parallel_size == shards


def test_a_processor_without_bfloat16_is_left_to_vllm(open_engine):
    open_engine(supported_dtypes=[torch.float16], is_cuda_alike=lambda: False)
    arguments = fake_vllm.AsyncLLM.opened.arguments
    assert arguments.dtype == "auto"
    assert arguments.enforce_eager


def test_generates_in_the_order_of_the_requests(engine, caplog):
    with caplog.at_level("INFO"):
        generations = engine.generate([asked([10]), asked([20], stops=[23]), asked([1, 30], 1)])
    assert generations == [
        Generation([11, 12, 13, 14, 15], finished=False),
        Generation([21, 22], finished=True),
        Generation([31], finished=False),
    ]
    assert "3 of 3 prompts answered" in caplog.text


def test_many_requests_wait_outside_vllm(engine, vllm, monkeypatch):
    monkeypatch.setattr(vllm_engine, "_AT_ONCE", 2)
    requests = [asked([number]) for number in range(1, 40)]
    assert [g.tokens[0] for g in engine.generate(requests)] == list(range(2, 41))


def test_one_failure_ends_all(engine, vllm):
    vllm.fails = True
    with pytest.raises(RuntimeError, match="out of memory"):
        engine.generate([asked([88], 20), asked([10], 20)])
    assert engine.alive


def test_a_listener_hears_every_token_and_the_end(engine):
    listener = hear(engine, asked([10], stops=[14], logprobs=1))
    assert listener.tokens == [11, 12, 13]
    assert listener.logprobs[0] == TokenLogprobs(-1.1, ((0, 0.0),))
    assert listener.finished is True
    listener = hear(engine, asked([10]))
    assert listener.tokens == [11, 12, 13, 14, 15]
    assert listener.logprobs == [None] * 5
    assert listener.finished is False


def test_a_cancelled_request_is_heard_of_no_more(engine, vllm):
    listener = RecordingListener()
    ticket = engine.submit(asked([88], 20), listener)
    listener.begun.wait(60)
    ticket.cancel()
    ticket.cancel()
    hear(engine, asked([10]))
    assert vllm.aborted == ["0"]
    assert not listener.ended.is_set()


def test_a_listener_hears_of_failure(engine, vllm):
    vllm.fails = True
    listener = hear(engine, asked([88], 20))
    assert listener.tokens == [89, 90]
    assert "out of memory" in str(listener.error)


def test_a_listener_that_fails_harms_no_other(engine, vllm):
    class Failing(RecordingListener):
        def on_token(self, token, logprobs):
            raise KeyError("mine")

    listener = Failing()
    engine.submit(asked([10], 20), listener)
    listener.ended.wait(60)
    assert isinstance(listener.error, KeyError)
    assert vllm.aborted == ["0"]
    assert hear(engine, asked([10])).finished is False


def test_what_the_model_cannot_answer_is_refused_at_once(engine, vllm):
    with pytest.raises(ValueError, match="at least one"):
        engine.submit(asked([]), RecordingListener())
    with pytest.raises(ValueError, match="below 100"):
        engine.generate([asked([10]), asked([100])])
    assert vllm.asked == []


def test_answers_end_with_the_context(engine, vllm):
    engine.generate([asked([1] * 30, 50)])
    assert vllm.asked[0].max_tokens == 2


def test_a_dead_vllm_is_noticed(engine, vllm):
    vllm.errored = True
    assert not engine.alive
    with pytest.raises(RuntimeError, match="vLLM has ended"):
        engine.submit(asked([10]), RecordingListener())


def test_closing_tells_those_who_wait(engine, vllm):
    listener = RecordingListener()
    engine.submit(asked([88], 20), listener)
    listener.begun.wait(60)
    engine.close()
    engine.close()
    assert "closed" in str(listener.error)
    assert vllm.aborted == ["0"]
    assert vllm.shut == 1
    assert not engine.alive
    with pytest.raises(RuntimeError, match="closed"):
        engine.submit(asked([10]), RecordingListener())
    with pytest.raises(RuntimeError, match="closed"):
        engine.generate([asked([10])])


def test_the_interpreters_end_closes_it(engine, monkeypatch):
    kept = []
    monkeypatch.setattr(atexit, "unregister", kept.append)
    engine.close()
    assert kept == [engine.close]


def test_a_vllm_that_does_not_start_leaves_no_thread(open_engine, monkeypatch):
    def fail(arguments):
        raise ValueError("no such architecture")

    monkeypatch.setattr(fake_vllm.AsyncLLM, "from_engine_args", fail)
    with pytest.raises(ValueError, match="no such architecture"):
        open_engine()
    assert "vllm" not in {thread.name for thread in threading.enumerate()}


def test_scores_sum_the_completions_tokens(engine, caplog):
    with caplog.at_level("INFO"):
        scores = engine.score([[1, 50], [1, 60, 70]], [[20, 2], [30]])
    np.testing.assert_allclose(scores, [-2.2, -3.0])
    assert "2 of 2 references scored" in caplog.text


def test_choices_are_scored_once_for_equal_prompts(engine, vllm):
    scores = engine.score_choices([[1, 50], [1, 60], [1, 50]], [[20, 2], [30, 2]])
    np.testing.assert_allclose(scores, [[-2.2, -3.2]] * 3)
    assert len(vllm.asked) == 4


def test_decodes_without_special_tokens(engine):
    ids = engine.tokenizer("Zürich")["input_ids"]
    assert engine.decode([[*ids, 2], []]) == ["Zürich", ""]
