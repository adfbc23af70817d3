"""The engine as its users see it: with the tiny Llama in float32."""

from __future__ import annotations

import shutil
import sys
import threading

import pytest

from kfp_llm_tuning.components.generation.decoding import Decoder
from kfp_llm_tuning.components.generation.engine import GenerationRequest, Sampling
from kfp_llm_tuning.components.generation.rows import Rows
from tests.components.generation.greedy_decoding import greedy
from tests.components.generation.listeners import RecordingListener

EOS = 2
PROMPTS = [[1, 50, 60, 70], [1, 80], [1, 50, 60, 70], [1, *range(30, 70)], [1, 99, 98, 97, 96]]


@pytest.fixture
def fresh(model_folder, open_exactly):
    """An engine that the test may close."""
    engine = open_exactly(model_folder)
    yield engine
    engine.close()


def requests(prompts, limit):
    return [GenerationRequest(prompt, limit, [EOS]) for prompt in prompts]


def submit(engine, prompt, limit, sampling=None):
    listener = RecordingListener()
    ticket = engine.submit(
        GenerationRequest(prompt, limit, [EOS], sampling or Sampling()), listener
    )
    return listener, ticket


def test_generates_what_each_prompt_gets_alone(engine, model):
    expected = [greedy(model, prompt, 12, [EOS]) for prompt in PROMPTS]
    assert engine.generate(requests(PROMPTS, 12)) == expected
    assert len({tuple(generation.tokens) for generation in expected}) > 2


def test_submitting_writes_what_generating_writes(engine):
    asked = [GenerationRequest(p, 3 + 4 * n, [EOS]) for n, p in enumerate(PROMPTS)]
    asked += [GenerationRequest([1, 40], 9, [EOS], Sampling(1.0, 0.9, 40, seed=5, logprobs=2))]
    listeners = [RecordingListener() for _ in asked]
    for request, listener in zip(asked, listeners, strict=True):
        engine.submit(request, listener)
    for listener, expected in zip(listeners, engine.generate(asked), strict=True):
        found = listener.wait()
        assert (found.tokens, found.finished) == (expected.tokens, expected.finished)
        for one, other in zip(found.logprobs, expected.logprobs, strict=True):
            assert one.chosen == pytest.approx(other.chosen, abs=1e-4)


def test_many_threads_may_submit(engine, model):
    expected = {length: greedy(model, [7] * length, 10, [EOS]) for length in range(1, 9)}
    failures = []

    def ask(length):
        for _ in range(3):
            found = submit(engine, [7] * length, 10)[0].wait()
            if found != expected[length]:
                failures.append(found)

    threads = [threading.Thread(target=ask, args=[length]) for length in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_stops_at_any_of_the_stop_tokens(engine, model):
    third = greedy(model, PROMPTS[1], 12, []).tokens[2]
    generation = engine.generate([GenerationRequest(PROMPTS[1], 12, [EOS, third])])[0]
    assert generation.finished
    assert third not in generation.tokens
    assert len(generation.tokens) <= 2


def test_a_cancelled_request_is_heard_of_no_more(fresh):
    endless = [*range(3, 250)]
    listener, ticket = submit(fresh, endless, 10_000)
    assert listener.begun.wait(60)
    ticket.cancel()
    # Answers come in turn: whatever was under way when it was cancelled has been told by then.
    submit(fresh, [5, 6], 3)[0].wait()
    count = len(listener.tokens)
    submit(fresh, [5, 6], 5)[0].wait()
    assert len(listener.tokens) == count
    assert not listener.ended.is_set()


def test_what_is_under_way_hears_of_closing(fresh):
    listener, _ = submit(fresh, [*range(3, 250)], 10_000)
    waiting = [submit(fresh, [5], 10_000)[0] for _ in range(40)]
    assert listener.begun.wait(60)
    assert fresh.alive
    fresh.close()
    assert not fresh.alive
    for each in [listener, *waiting]:
        with pytest.raises(RuntimeError, match="closed"):
            each.wait()
    with pytest.raises(RuntimeError, match="closed"):
        submit(fresh, [5], 3)
    fresh.close()
    assert fresh.generate(requests([[5]], 2))[0].tokens


def test_a_listener_may_submit_and_close(fresh, model):
    done = threading.Event()
    second = RecordingListener()

    class First(RecordingListener):
        def on_end(self, finished):
            fresh.submit(GenerationRequest([5, 6], 4, [EOS]), second)

    class Last(RecordingListener):
        def on_end(self, finished):
            fresh.close()
            done.set()

    fresh.submit(GenerationRequest([7], 1, []), First())
    assert second.wait() == greedy(model, [5, 6], 4, [EOS])
    fresh.submit(GenerationRequest([7], 1, []), Last())
    assert done.wait(60)
    assert not fresh.alive


def test_the_engine_outlives_a_failure_of_its_own(fresh, model, monkeypatch, caplog):
    step = Decoder.step
    monkeypatch.setattr(Decoder, "step", lambda self: {}["bug"])
    listener, _ = submit(fresh, [5, 6], 3)
    with pytest.raises(KeyError):
        listener.wait()
    assert "The decoding loop failed" in caplog.text
    monkeypatch.setattr(Decoder, "step", step)
    assert fresh.alive
    assert submit(fresh, [5, 6], 3)[0].wait() == greedy(model, [5, 6], 3, [EOS])


def test_an_engine_whose_device_failed_is_not_alive(fresh, monkeypatch):
    import torch

    def fail(*arguments):
        raise torch.AcceleratorError("device-side assert")

    monkeypatch.setattr(Rows, "append", fail)
    with pytest.raises(torch.AcceleratorError):
        submit(fresh, [5, 6], 3)[0].wait()
    assert not fresh.alive


@pytest.mark.parametrize(
    ("prompt", "limit", "bias", "message"),
    [
        ([], 3, {}, "at least one"),
        ([5], 0, {}, "at least one"),
        ([5] * 16_384, 1, {}, "within 16384"),
        ([5, 259], 1, {}, "below 259"),
        ([-1], 1, {}, "below 259"),
        ([5], 1, {259: 1.0}, "below 259"),
    ],
)
def test_what_the_model_cannot_answer_is_refused(engine, prompt, limit, bias, message):
    with pytest.raises(ValueError, match=message):
        submit(engine, prompt, limit, Sampling(logit_bias=bias))
    with pytest.raises(ValueError, match=message):
        engine.generate([GenerationRequest(prompt, limit, [], Sampling(logit_bias=bias))])


def test_an_answer_ends_with_the_context(engine, monkeypatch):
    monkeypatch.setattr(engine, "context_length", 10)
    (found,) = engine.generate([GenerationRequest([5] * 6, 100, [])])
    assert (len(found.tokens), found.finished) == (4, False)


def test_the_folders_own_sampling_is_not_used(model_folder, tmp_path, engine, open_exactly):
    folder = tmp_path / "sampling"
    shutil.copytree(model_folder, folder)
    (folder / "generation_config.json").write_text(
        '{"do_sample": true, "temperature": 5.0, "repetition_penalty": 3.0, "max_length": 3}'
    )
    other = open_exactly(folder)
    assert other.generate(requests(PROMPTS, 12)) == engine.generate(requests(PROMPTS, 12))


def test_a_model_that_names_no_context_has_any(tmp_path, open_exactly):
    from transformers import BloomConfig, BloomForCausalLM

    from kfp_llm_tuning.components.models import byte_tiny

    config = BloomConfig(vocab_size=259, hidden_size=16, n_layer=1, n_head=2)
    BloomForCausalLM(config).save_pretrained(tmp_path)
    tokenizer = byte_tiny.build_tokenizer()
    tokenizer.model_max_length = sys.maxsize
    tokenizer.save_pretrained(tmp_path)
    engine = open_exactly(tmp_path)
    assert engine.context_length >= 10**9
    assert len(engine.generate([GenerationRequest([5], 3, [])])[0].tokens) == 3


def test_decodes_without_special_tokens(engine):
    ids = engine.tokenizer("Zürich")["input_ids"]
    assert engine.decode([[*ids, EOS], []]) == ["Zürich", ""]
