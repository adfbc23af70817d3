"""Bodies of /v1/chat/completions and /v1/completions, and every mistake in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kfp_llm_tuning.components.data.rows import Message
from kfp_llm_tuning.components.generation.engine import Sampling
from kfp_llm_tuning.components.generation.instances import Instance, text_instance
from kfp_llm_tuning.components.generation.tuned_model import TunedModel
from kfp_llm_tuning.components.serving.openai_requests import (
    CompletionRequest,
    read_chat,
    read_completion,
)
from kfp_llm_tuning.components.serving.prompting import PromptInput
from kfp_llm_tuning.components.serving.refusals import Refusal
from tests.components.serving.scripted_engine import scripted_model

Read = Callable[[dict[str, Any], TunedModel, int], CompletionRequest]
HELLO = [{"role": "user", "content": "Hello"}]
SEEN_BY_NOBODY = {
    "model": "any",
    "user": "me",
    "metadata": {"a": "b"},
    "store": True,
    "safety_identifier": "x",
    "prompt_cache_key": "x",
    "service_tier": "auto",
    "parallel_tool_calls": True,
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> TunedModel:
    return scripted_model(tmp_path_factory.mktemp("model"))


def chat(model: TunedModel, /, **body: Any) -> CompletionRequest:
    return read_chat({"messages": HELLO, **body}, model, 4)


def completion(model: TunedModel, /, **body: Any) -> CompletionRequest:
    return read_completion({"prompt": "Hello", **body}, model, 4)


def mistakes(read: Read, model: TunedModel, body: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(Refusal) as caught:
        read(body, model, 4)
    assert caught.value.status == 400
    return {problem.where: str(problem) for problem in caught.value.problems}


def said(role: str, content: Any, **rest: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **rest}


def conversation(model: TunedModel, *messages: dict[str, Any]) -> Instance:
    [asked] = chat(model, messages=list(messages)).asked
    return asked.instance


def chat_instance(*turns: str, context: str = "") -> Instance:
    """A conversation in which user and assistant take turns."""
    messages = [
        Message("assistant" if index % 2 else "user", turn) for index, turn in enumerate(turns)
    ]
    return Instance(tuple(messages), context, is_chat=True)


def test_defaults_of_a_chat(model: TunedModel) -> None:
    assert chat(model, **SEEN_BY_NOBODY) == CompletionRequest(
        asked=[PromptInput("messages", chat_instance("Hello"))],
        limit=None,
        usual_limit=1024,
        count=1,
        sampling=Sampling(temperature=1.0),
        stops=(),
        stream=False,
        with_usage=False,
    )


def test_defaults_of_a_completion(model: TunedModel) -> None:
    assert completion(model, model="any", user="me") == CompletionRequest(
        asked=[PromptInput("prompt", text_instance("Hello"))],
        limit=None,
        usual_limit=16,
        count=1,
        sampling=Sampling(temperature=1.0),
        stops=(),
        stream=False,
        with_usage=False,
    )


def test_every_field_of_a_chat(model: TunedModel) -> None:
    request = chat(
        model,
        n=2,
        stop=["a", "b"],
        seed=7,
        temperature=0,
        top_p=0.5,
        top_k=3,
        max_tokens=8,
        max_completion_tokens=8,
        logprobs=True,
        top_logprobs=20,
        presence_penalty=1,
        frequency_penalty=-1,
        logit_bias={"5": 1},
        stream=True,
        stream_options={"include_usage": True, "include_obfuscation": False},
        tools=[],
        tool_choice="none",
        response_format={"type": "text"},
        modalities=["text"],
    )
    assert request.sampling == Sampling(
        temperature=0.0,
        top_p=0.5,
        top_k=3,
        seed=7,
        presence_penalty=1.0,
        frequency_penalty=-1.0,
        logit_bias={5: 1},
        logprobs=20,
    )
    assert (request.count, request.stops, request.limit) == (2, ("a", "b"), 8)
    assert (request.stream, request.with_usage) == (True, True)


def test_logprobs_without_a_number_are_those_of_the_answer(model: TunedModel) -> None:
    assert chat(model, logprobs=True).sampling.logprobs == 0
    assert chat(model, logprobs=False).sampling.logprobs is None
    assert completion(model, logprobs=0).sampling.logprobs == 0
    assert completion(model, logprobs=None).sampling.logprobs is None


def test_instructions_become_the_context(model: TunedModel) -> None:
    messages = [said("system", "1"), said("developer", "2"), said("user", "3")]
    assert conversation(model, *messages) == chat_instance("3", context="1\n\n2")


def test_what_one_side_says_in_a_row_is_joined(model: TunedModel) -> None:
    messages = [said("user", "1"), said("user", "2"), said("assistant", "3"), said("user", "4")]
    assert conversation(model, *messages) == chat_instance("1\n\n2", "3", "4")


def test_answers_may_come_back_as_clients_got_them(model: TunedModel) -> None:
    answer = said(
        "assistant", None, refusal=None, annotations=[], audio=None, tool_calls=None, name="bot"
    )
    asked = conversation(model, said("user", "1", name="me"), answer, said("user", "2"))
    assert asked == chat_instance("1", "", "2")


def test_content_in_parts(model: TunedModel) -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert conversation(model, said("user", parts)) == chat_instance("ab")


@pytest.mark.parametrize(
    ("messages", "place", "told"),
    [
        (None, "messages", "is missing."),
        ([], "messages", "no message of the user's"),
        ("hello", "messages", "is no list."),
        (["hello"], "messages[0]", "is no object."),
        ([said("system", "a")], "messages", "no message of the user's"),
        ([said("user", "")], "messages[0].content", "is empty."),
        ([said("user", None)], "messages[0].content", "is missing."),
        ([said("user", 5)], "messages[0].content", "5 is no text."),
        ([said("user", [])], "messages[0].content", "holds no text"),
        ([said("user", ["a"])], "messages[0].content[0]", "is no object."),
        ([said("user", [{"type": "text", "text": 5}])], "messages[0].content[0].text", "no text"),
        ([{"content": "a"}], "messages[0].role", "is missing."),
        ([said("me", "a")], "messages[0].role", "'me' is nobody."),
        ([said("User", "a")], "messages[0].role", "is nobody."),
        ([said("assistant", "a")], "messages[0].role", "last message"),
        ([said("assistant", "a"), *HELLO], "messages[0].role", "begin with the user"),
        ([*HELLO, said("assistant", "a")], "messages[1].role", "last message"),
        ([*HELLO, said("system", "a"), *HELLO], "messages[1].role", "before the conversation"),
        ([said("user", "a", author="b")], "messages[0].author", "no such field"),
    ],
)
def test_wrong_messages(model: TunedModel, messages: Any, place: str, told: str) -> None:
    found = mistakes(read_chat, model, {"messages": messages})
    assert list(found) == [place]
    assert told in found[place]


@pytest.mark.parametrize(
    ("message", "place"),
    [
        (said("tool", "a", tool_call_id="b"), "role"),
        (said("function", "a"), "role"),
        (said("assistant", "a", tool_calls=[{"id": "b"}]), "tool_calls"),
    ],
)
def test_messages_of_tools_are_refused_with_the_reason(
    model: TunedModel, message: dict[str, Any], place: str
) -> None:
    found = mistakes(read_chat, model, {"messages": [*HELLO, message, *HELLO]})
    assert "call no tools" in found[f"messages[1].{place}"]


def test_pictures_are_refused_with_the_reason(model: TunedModel) -> None:
    part = {"type": "image_url", "image_url": {"url": "data:"}}
    found = mistakes(read_chat, model, {"messages": [said("user", [part])]})
    assert "read text only" in found["messages[0].content[0].type"]


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("tools", [{"type": "function"}], "call no tools"),
        ("tool_choice", "required", "call no tools"),
        ("functions", [{"name": "f"}], "call no tools"),
        ("response_format", {"type": "json_object"}, "force a format"),
        ("modalities", ["text", "audio"], "text only"),
        ("audio", {"voice": "x"}, "text only"),
        ("web_search_options", {}, "searches for no sources"),
        ("reasoning_effort", "low", "how much to think"),
        ("prediction", {"type": "content"}, "no use of predicted outputs"),
        ("n", 0, "Allowed: 1 to 8."),
        ("n", 9, "Allowed: 1 to 8."),
        ("n", True, "no whole number"),
        ("stop", [""], "would end every answer"),
        ("stop", 5, "no list of texts"),
        ("seed", "x", "no whole number"),
        ("temperature", 2.5, "Allowed: 0 to 2."),
        ("top_p", -0.5, "Allowed: 0 to 1."),
        ("max_tokens", 0, "Allowed: 1 to 1024."),
        ("max_completion_tokens", 1025, "Allowed: 1 to 1024."),
        ("top_logprobs", 3, "not asked for"),
        ("logprobs", 3, "no boolean"),
        ("presence_penalty", 3, "Allowed: -2 to 2."),
        ("logit_bias", {"x": 1}, "no token id"),
        ("stream", "yes", "no boolean"),
        ("stream_options", {"include_usage": True}, "is for streams"),
        ("maxTokens", 5, "Did you mean max_tokens?"),
    ],
)
def test_wrong_fields_of_a_chat(model: TunedModel, field: str, value: Any, told: str) -> None:
    found = mistakes(read_chat, model, {"messages": HELLO, field: value})
    place = {"logit_bias": "logit_bias.x", "stop": "stop[0]" if value == [""] else "stop"}
    assert list(found) == [place.get(field, field)]
    assert told in found[place.get(field, field)]


def test_too_many_likeliest_tokens(model: TunedModel) -> None:
    found = mistakes(read_chat, model, {"messages": HELLO, "logprobs": True, "top_logprobs": 21})
    assert "Allowed: 0 to 20." in found["top_logprobs"]


def test_two_limits_that_differ(model: TunedModel) -> None:
    body = {"messages": HELLO, "max_tokens": 5, "max_completion_tokens": 6}
    assert "its newer name" in mistakes(read_chat, model, body)["max_tokens"]


def test_prompts(model: TunedModel) -> None:
    assert completion(model, prompt=["a", "b"]).asked == [
        PromptInput("prompt[0]", text_instance("a")),
        PromptInput("prompt[1]", text_instance("b")),
    ]
    empty = Instance(())
    assert completion(model, prompt=[1, 258]).asked == [
        PromptInput("prompt", empty, tokens=[1, 258])
    ]
    assert completion(model, prompt=[[1], [2, 3]]).asked == [
        PromptInput("prompt[0]", empty, tokens=[1]),
        PromptInput("prompt[1]", empty, tokens=[2, 3]),
    ]
    assert completion(model, suffix="z").asked == [
        PromptInput("prompt", text_instance("Hello"), suffix="z")
    ]


def test_every_field_of_a_completion(model: TunedModel) -> None:
    request = completion(model, echo=True, best_of=3, n=3, max_tokens=1024, stop="x")
    assert (request.echo, request.count, request.limit, request.stops) == (True, 3, 1024, ("x",))
    assert completion(model, logprobs=5).sampling.logprobs == 5


@pytest.mark.parametrize(
    ("body", "place", "told"),
    [
        ({}, "prompt", "is missing."),
        ({"prompt": ""}, "prompt", "is empty."),
        ({"prompt": []}, "prompt", "is empty."),
        ({"prompt": 5}, "prompt", "5 is no prompt."),
        ({"prompt": {}}, "prompt", "is no prompt."),
        ({"prompt": ["a", ""]}, "prompt[1]", "is empty."),
        ({"prompt": ["a", 5]}, "prompt[1]", "5 is no prompt."),
        ({"prompt": ["a", None]}, "prompt[1]", "null is no prompt."),
        ({"prompt": [[1], []]}, "prompt[1]", "is empty."),
        ({"prompt": [[1, "a"]]}, "prompt[0]", "not all items are token ids"),
        ({"prompt": [259]}, "prompt", "whole numbers from 0 to 258"),
        ({"prompt": [-1]}, "prompt", "not all items are token ids"),
        ({"prompt": [1.5]}, "prompt", "not all items are token ids"),
        ({"prompt": [True]}, "prompt[0]", "true is no prompt."),
        ({"prompt": ["a"] * 5}, "prompt", "has 5 items."),
        ({"prompt": [1], "suffix": "a"}, "suffix", "can follow a text only"),
        ({"prompt": "a", "suffix": 5}, "suffix", "5 is no text."),
        ({"prompt": "a", "best_of": 2}, "best_of", "the value of n"),
        ({"prompt": "a", "logprobs": 6}, "logprobs", "Allowed: 0 to 5."),
        ({"prompt": "a", "logprobs": True}, "logprobs", "no whole number"),
        ({"prompt": "a", "logprobs": 1, "echo": True}, "echo", "are not told"),
        ({"prompt": "a", "messages": HELLO}, "messages", "no such field"),
        ({"prompt": "a", "max_tokens": 1025}, "max_tokens", "out of range"),
    ],
)
def test_wrong_completions(model: TunedModel, body: Any, place: str, told: str) -> None:
    found = mistakes(read_completion, model, body)
    assert list(found) == [place]
    assert told in found[place]


def test_all_mistakes_are_told_at_once(model: TunedModel) -> None:
    body = {"messages": [said("user", "")], "n": 0, "tools": [{}], "temprature": 1}
    places = ["messages[0].content", "n", "tools", "temprature"]
    assert list(mistakes(read_chat, model, body)) == places
