"""The routes under /v1: exactly, with a scripted engine, and through the openai client."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from kfp_llm_tuning.components.generation.engine import GenerationRequest
from tests.components.serving.conftest import RunningServer
from tests.components.serving.scripted_engine import Line
from tests.components.serving.scripted_server import (
    NAME,
    ScriptedServer,
    events,
    scripted_server,
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedServer]:
    with scripted_server(tmp_path_factory.mktemp("model")) as running:
        yield running


@pytest.fixture
def scripted(shared: ScriptedServer) -> ScriptedServer:
    shared.engine.requests.clear()
    shared.engine.tickets.clear()
    return shared


@pytest.fixture(scope="module")
def client(server: RunningServer) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)


def without_id(body: dict[str, Any]) -> dict[str, Any]:
    assert body.pop("id").startswith(("chatcmpl-", "cmpl-"))
    assert isinstance(body.pop("created"), int)
    return body


def usage(prompt: int, completion: int) -> dict[str, int]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


def asked(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def test_a_chat(scripted: ScriptedServer) -> None:
    scripted.engine.says("Hi")
    assert without_id(scripted.chat("a", "b", "c").json()) == {
        "object": "chat.completion",
        "model": NAME,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hi", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": usage(41, 2),
    }
    assert scripted.engine.prompts() == ["user:\na\nassistant:\nb\nuser:\nc\nassistant:\n"]
    assert scripted.engine.requests[0].max_new_tokens == 1024


def test_a_completion(scripted: ScriptedServer) -> None:
    scripted.engine.says("Hi" * 20)
    assert without_id(scripted.complete("Hello").json()) == {
        "object": "text_completion",
        "model": NAME,
        "choices": [{"index": 0, "text": "Hi" * 8, "logprobs": None, "finish_reason": "length"}],
        "usage": usage(7, 16),
    }
    # As training wrote a text.
    assert scripted.engine.prompts() == ["Hello\n"]


def test_token_ids_are_read_as_they_stand(scripted: ScriptedServer) -> None:
    scripted.engine.says("Hi")
    tokens = scripted.engine.tokens("as it stands")
    body = scripted.complete(tokens, echo=True).json()
    assert body["choices"][0]["text"] == "as it standsHi"
    assert body["usage"] == usage(12, 2)
    assert scripted.engine.requests[0].prompt == tokens


def test_choices_are_numbered_through(scripted: ScriptedServer) -> None:
    def script(request: GenerationRequest) -> Line:
        [prompt] = scripted.engine.decode([request.prompt])
        return Line(scripted.engine.tokens(f"{prompt.strip()}{request.sampling.seed}"))

    scripted.engine.script = script
    body = scripted.complete(["a", "b"], n=2, seed=5, echo=True).json()
    texts = {choice["index"]: choice["text"] for choice in body["choices"]}
    assert texts == {0: "aa5", 1: "aa6", 2: "bb5", 3: "bb6"}
    # Each prompt is counted once, as OpenAI does.
    assert body["usage"] == usage(6, 8)
    found = events(scripted.complete(["a", "b"], n=2, seed=5, echo=True, stream=True))
    assert found.pop() == "[DONE]"
    streamed = dict.fromkeys(range(4), "")
    for chunk in found:
        [choice] = chunk["choices"]
        streamed[choice["index"]] += choice["text"]
    assert streamed == texts


def test_logprobs_of_a_chat(scripted: ScriptedServer) -> None:
    scripted.engine.says("a€")
    [choice] = scripted.chat("x", logprobs=True, top_logprobs=1).json()["choices"]
    [first, *others] = choice["logprobs"]["content"]
    likeliest = {"token": "a", "logprob": -0.5, "bytes": [97]}
    assert first == {**likeliest, "top_logprobs": [likeliest]}
    assert [(other["token"], other["bytes"]) for other in others] == [("\ufffd", None)] * 3


def test_logprobs_of_a_completion(scripted: ScriptedServer) -> None:
    scripted.engine.says("aéb END c")
    [choice] = scripted.complete("x", logprobs=1, stop=" END").json()["choices"]
    assert choice["text"] == "aéb"
    assert choice["logprobs"] == {
        "tokens": ["a", "\ufffd", "\ufffd", "b"],
        "token_logprobs": [-0.5] * 4,
        "top_logprobs": [{"a": -0.5}, {"\ufffd": -0.5}, {"\ufffd": -0.5}, {"b": -0.5}],
        "text_offset": [0, 1, 1, 2],
    }


def test_a_streamed_chat(scripted: ScriptedServer) -> None:
    scripted.engine.says("a€")
    found = events(scripted.chat("x", stream=True, stream_options={"include_usage": True}))
    assert found.pop() == "[DONE]"
    counts = without_id(found.pop())
    expected = {"object": "chat.completion.chunk", "model": NAME, "choices": []}
    assert counts == {**expected, "usage": usage(20, 4)}
    assert len({chunk["id"] for chunk in found}) == 1
    assert [chunk["usage"] for chunk in found] == [None] * 4
    choices = [choice for chunk in found for choice in chunk["choices"]]
    assert [choice["delta"] for choice in choices] == [
        {"role": "assistant", "content": ""},
        {"content": "a"},
        {"content": "€"},
        {},
    ]
    assert [choice["finish_reason"] for choice in choices] == [None, None, None, "stop"]


def test_logprobs_in_a_stream_are_those_of_the_whole(scripted: ScriptedServer) -> None:
    scripted.engine.says("a€b!c")
    given: dict[str, Any] = {"logprobs": True, "top_logprobs": 2, "stop": "!"}
    [whole] = scripted.chat("x", **given).json()["choices"]
    found = events(scripted.chat("x", **given, stream=True))
    told = [
        token
        for chunk in found[:-1]
        for choice in chunk["choices"]
        if choice["logprobs"]
        for token in choice["logprobs"]["content"]
    ]
    assert told == whole["logprobs"]["content"]
    assert len(told) == 5


def test_prompt_and_limit_must_fit_into_the_context(tmp_path: Path) -> None:
    with scripted_server(tmp_path) as server:
        server.engine.context_length = 10
        server.engine.says("x")
        assert server.complete("1234").status_code == 200
        assert server.engine.requests[0].max_new_tokens == 4
        assert server.complete("1234", max_tokens=4).status_code == 200
        error = server.complete("1234", max_tokens=5).json()["error"]
        assert error["code"] == "context_length_exceeded"
        assert "6 tokens of the prompt and 5 of the answer" in error["message"]
        error = server.complete("12345678").json()["error"]
        assert (error["code"], error["param"]) == ("context_length_exceeded", "prompt")


@pytest.mark.parametrize(
    ("model", "status", "code"),
    [(None, 400, None), (5, 400, None), ("gpt-4", 404, "model_not_found"), ("", 404, None)],
)
def test_another_model(scripted: ScriptedServer, model: Any, status: int, code: str | None) -> None:
    response = scripted.chat("x", model=model)
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (status, "model")
    assert error["code"] == ("model_not_found" if status == 404 else code)
    assert f"Allowed: {NAME}." in error["message"]
    assert error["type"] == "invalid_request_error"


def test_a_fault_in_a_stream_is_its_last_event(scripted: ScriptedServer) -> None:
    scripted.engine.says("ab", error=ZeroDivisionError("secret"))
    found = events(scripted.chat("x", stream=True))
    assert found[-1]["error"]["type"] == "server_error"
    assert "secret" not in str(found)


def test_time_is_up(tmp_path: Path) -> None:
    unending = threading.Event()
    with scripted_server(tmp_path, request_timeout_seconds=0.2) as server:
        server.engine.says("ab", wait=unending)
        response = server.chat("x", n=2)
        assert response.status_code == 504
        assert response.json()["error"]["type"] == "server_error"
        assert all(ticket.cancelled.is_set() for ticket in server.engine.tickets)
        unending.set()


def test_the_client_lists_models(client: openai.OpenAI) -> None:
    [model] = client.models.list()
    assert (model.id, model.object) == ("byte-tiny", "model")
    assert client.models.retrieve("byte-tiny") == model
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("org/other")
    assert caught.value.code == "model_not_found"


def test_the_client_chats(client: openai.OpenAI) -> None:
    given: dict[str, Any] = {
        "model": "byte-tiny",
        "messages": [{"role": "developer", "content": "Be kind."}, *asked("Hello")],
        "max_completion_tokens": 12,
        "seed": 1,
    }
    two = client.chat.completions.create(**given, n=2)
    assert [choice.index for choice in two.choices] == [0, 1]
    assert two.choices[0].message.content != two.choices[1].message.content
    whole = client.chat.completions.create(**given)
    assert whole.usage is not None
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
    # The same seed gives the same answer, whole or in a stream.
    text = ""
    counts = None
    for chunk in client.chat.completions.create(
        **given, stream=True, stream_options={"include_usage": True}
    ):
        text += "".join(choice.delta.content or "" for choice in chunk.choices)
        counts = chunk.usage or counts
    assert text == whole.choices[0].message.content
    assert counts == whole.usage


def test_the_client_completes(client: openai.OpenAI) -> None:
    given: dict[str, Any] = {"model": "byte-tiny", "prompt": "Hello", "temperature": 0}
    whole = client.completions.create(**given, max_tokens=8, logprobs=3)
    [choice] = whole.choices
    assert choice.logprobs is not None
    assert choice.logprobs.tokens is not None
    assert len(choice.logprobs.tokens) == 8
    assert choice.finish_reason == "length"
    stopped = client.completions.create(**given, max_tokens=8, stop=choice.text[1:3])
    assert stopped.choices[0].text == choice.text[: choice.text.index(choice.text[1:3])]
    assert stopped.choices[0].finish_reason == "stop"


def test_the_clients_logprobs_are_the_likeliest_first(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="byte-tiny",
        messages=[{"role": "user", "content": "Hello"}],
        temperature=0,
        max_tokens=4,
        logprobs=True,
        top_logprobs=3,
    )
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    for token in logprobs.content:
        likeliest = [other.logprob for other in token.top_logprobs]
        assert likeliest == sorted(likeliest, reverse=True)
        assert token.logprob == likeliest[0]


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"model": "other"}, openai.NotFoundError),
        ({"max_tokens": 65}, openai.BadRequestError),
        ({"messages": asked("x" * 2000)}, openai.BadRequestError),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, openai.BadRequestError),
        ({"response_format": {"type": "json_object"}}, openai.BadRequestError),
        ({"temperature": 3}, openai.BadRequestError),
    ],
)
def test_the_client_understands_refusals(
    client: openai.OpenAI, given: dict[str, Any], kind: type[openai.APIStatusError]
) -> None:
    fine: dict[str, Any] = {"model": "byte-tiny", "messages": asked("Hello")}
    with pytest.raises(kind) as caught:
        client.chat.completions.create(**{**fine, **given})
    assert caught.value.type == "invalid_request_error"
    assert caught.value.param is not None
