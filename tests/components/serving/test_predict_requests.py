"""The published instances and parameters, and every mistake in them with its place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kfp_llm_tuning.components.data.rows import Message
from kfp_llm_tuning.components.generation.engine import Sampling
from kfp_llm_tuning.components.generation.instances import Instance, text_instance
from kfp_llm_tuning.components.generation.tuned_model import TunedModel
from kfp_llm_tuning.components.serving.predict_parameters import Parameters
from kfp_llm_tuning.components.serving.predict_requests import (
    PredictRequest,
    read_predict_request,
)
from kfp_llm_tuning.components.serving.prompting import PromptInput
from kfp_llm_tuning.components.serving.refusals import Refusal
from tests.components.serving.scripted_engine import scripted_model

PUBLISHED = Sampling(temperature=0.0, top_p=0.95, top_k=40)
DEFAULTS = Parameters(limit=1024, candidates=1, sampling=PUBLISHED, stops=(), echo=False)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> TunedModel:
    return scripted_model(tmp_path_factory.mktemp("model"))


def read(model: TunedModel, **body: Any) -> PredictRequest:
    return read_predict_request(body, model, most=6)


def parameters(model: TunedModel, **given: Any) -> Parameters:
    return read(model, instances=[{"content": "x"}], parameters=given).parameters


def mistakes(model: TunedModel, **body: Any) -> dict[str, str]:
    with pytest.raises(Refusal) as caught:
        read(model, **body)
    assert caught.value.status == 400
    return {problem.where: str(problem) for problem in caught.value.problems}


def user(content: Any) -> dict[str, Any]:
    return {"author": "user", "content": content}


def bot(content: Any) -> dict[str, Any]:
    return {"author": "bot", "content": content}


def test_texts_and_code(model: TunedModel) -> None:
    instances = [
        {"content": "a"},
        {"prompt": "b", "content": None},
        {"prefix": "c"},
        {"prefix": "d", "suffix": "e"},
        {"prefix": "f", "suffix": ""},
        {"prefix": "g", "suffix": None},
    ]
    assert read(model, instances=instances).instances == [
        PromptInput("instances[0]", text_instance("a")),
        PromptInput("instances[1]", text_instance("b")),
        PromptInput("instances[2]", text_instance("c")),
        PromptInput("instances[3]", text_instance("d"), suffix="e"),
        PromptInput("instances[4]", text_instance("f")),
        PromptInput("instances[5]", text_instance("g")),
    ]


@pytest.mark.parametrize("author", ["bot", "BOT", "assistant", "model", "system"])
def test_conversations(model: TunedModel, author: str) -> None:
    instance = {
        "context": "Be kind.",
        "examples": [{"input": {"content": "1"}, "output": {"content": "2"}}],
        "messages": [user("3"), {"author": author, "content": ""}, user("4")],
    }
    [asked] = read(model, instances=[instance]).instances
    said = [("user", "1"), ("assistant", "2"), ("user", "3"), ("assistant", ""), ("user", "4")]
    messages = tuple(Message(who, what) for who, what in said)  # type: ignore[arg-type]
    assert asked == PromptInput("instances[0]", Instance(messages, "Be kind.", is_chat=True))
    assert asked.words == ["Be kind.", "1", "2", "3", "", "4", ""]


def test_examples_may_name_their_authors(model: TunedModel) -> None:
    example = {"input": {"author": "user", "content": "1"}, "output": {"author": "", "content": ""}}
    [asked] = read(model, instances=[{"examples": [example], "messages": [user("2")]}]).instances
    assert [message.content for message in asked.instance.messages] == ["1", "", "2"]


@pytest.mark.parametrize("given", [None, {}])
def test_defaults_are_the_published_ones(model: TunedModel, given: Any) -> None:
    request = read(model, instances=[{"content": "x"}], parameters=given, labels={"a": "b"})
    assert request.parameters == DEFAULTS
    assert not request.stream


def test_every_parameter(model: TunedModel) -> None:
    given = {
        "temperature": 0.5,
        "maxOutputTokens": 256.0,
        "maxDecodeSteps": 256,
        "topP": 0.5,
        "topK": 3.0,
        "stopSequences": ["a", "\n"],
        "candidateCount": 8.0,
        "logprobs": 5,
        "presencePenalty": -2,
        "frequencyPenalty": 2.0,
        "logitBias": {"0": -100, "258": 99.5},
        "echo": True,
        "seed": -5.0,
        "groundingConfig": {"sources": [], "disableAttribution": True},
    }
    sampling = Sampling(
        temperature=0.5,
        top_p=0.5,
        top_k=3,
        seed=-5,
        presence_penalty=-2.0,
        frequency_penalty=2.0,
        logit_bias={0: -100, 258: 99.5},
        logprobs=5,
    )
    expected = Parameters(256, 8, sampling, ("a", "\n"), echo=True)
    assert parameters(model, **given) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"maxDecodeSteps": 7}, {"limit": 7}),
        ({"maxOutputTokens": 1}, {"limit": 1}),
        ({"stopSequences": "x"}, {"stops": ("x",)}),
        ({"stopSequences": []}, {"stops": ()}),
        ({"logprobs": 0}, {"sampling": replace(PUBLISHED, logprobs=0)}),
        ({"topK": 1000}, {"sampling": replace(PUBLISHED, top_k=0)}),
        ({"topP": 0, "temperature": 1}, {"sampling": PUBLISHED}),
        ({"topP": 1}, {"sampling": replace(PUBLISHED, top_p=1.0)}),
        ({"temperature": 2}, {"sampling": replace(PUBLISHED, temperature=2.0)}),
        ({"seed": 2**63 - 1}, {"sampling": replace(PUBLISHED, seed=2**63 - 1)}),
        ({"groundingConfig": {}}, {}),
    ],
)
def test_single_parameters(
    model: TunedModel, given: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert parameters(model, **given) == replace(DEFAULTS, **expected)


@pytest.mark.parametrize(
    ("given", "place", "told"),
    [
        ({"temperature": 2.1}, "temperature", "2.1 is out of range. Allowed: 0 to 2."),
        ({"temperature": -0.1}, "temperature", "Allowed: 0 to 2."),
        ({"temperature": True}, "temperature", "true is no number."),
        ({"temperature": "0.5"}, "temperature", "'0.5' is no number."),
        ({"maxOutputTokens": 0}, "maxOutputTokens", "Allowed: 1 to 1024."),
        ({"maxOutputTokens": 1025}, "maxOutputTokens", "1025 is out of range."),
        ({"maxOutputTokens": 5.5}, "maxOutputTokens", "no whole number"),
        ({"maxDecodeSteps": 5, "maxOutputTokens": 6}, "maxOutputTokens", "its other name"),
        ({"topP": 1.1}, "topP", "Allowed: 0 to 1."),
        ({"topK": 0}, "topK", "0 is out of range."),
        ({"topK": -1}, "topK", "-1 is out of range."),
        ({"candidateCount": 0}, "candidateCount", "Allowed: 1 to 8."),
        ({"candidateCount": 9}, "candidateCount", "Allowed: 1 to 8."),
        ({"stopSequences": ["a"] * 6}, "stopSequences", "6 are too many."),
        ({"stopSequences": [""]}, "stopSequences[0]", "would end every answer"),
        ({"stopSequences": ["a", 5]}, "stopSequences[1]", "5 is no text."),
        ({"stopSequences": 5}, "stopSequences", "no list of texts"),
        ({"stopSequences": ["x" * 1001]}, "stopSequences[0]", "1001 characters"),
        ({"logprobs": 6}, "logprobs", "Allowed: 0 to 5."),
        ({"logprobs": True}, "logprobs", "true is no whole number."),
        ({"presencePenalty": 2.5}, "presencePenalty", "Allowed: -2 to 2."),
        ({"frequencyPenalty": -3}, "frequencyPenalty", "Allowed: -2 to 2."),
        ({"logitBias": []}, "logitBias", "no object"),
        ({"logitBias": {"259": 1}}, "logitBias.259", "Allowed: 0 to 258."),
        ({"logitBias": {"a": 1}}, "logitBias.a", "'a' is no token id."),
        ({"logitBias": {"-1": 1}}, "logitBias.-1", "no token id"),
        ({"logitBias": {"٣": 1}}, "logitBias.٣", "no token id"),
        ({"logitBias": {"9" * 400: 1}}, "logitBias." + "9" * 20, "no token id"),
        ({"logitBias": {"5": 101}}, "logitBias.5", "Allowed: -100 to 100."),
        ({"logitBias": {"5": None}}, "logitBias.5", "null is no bias."),
        ({"echo": "true"}, "echo", "no boolean"),
        ({"seed": 0.5}, "seed", "no whole number"),
        ({"seed": 2**63}, "seed", "out of range"),
        ({"groundingConfig": {"sources": [{"type": "WEB"}]}}, "groundingConfig", "no sources"),
        ({"groundingConfig": "WEB"}, "groundingConfig", "searches for no sources"),
        ({"top_p": 0.5}, "top_p", "Did you mean topP?"),
        ({"max_output_tokens": 5}, "max_output_tokens", "Did you mean maxOutputTokens?"),
        ({"stop": ["x"]}, "stop", "no such field"),
    ],
)
def test_wrong_parameters(model: TunedModel, given: Any, place: str, told: str) -> None:
    found = mistakes(model, instances=[{"content": "x"}], parameters=given)
    assert list(found) == [f"parameters.{place}"]
    assert told in found[f"parameters.{place}"]


@pytest.mark.parametrize(
    ("instance", "place", "told"),
    [
        ("text", "", "'text' is no object."),
        (None, "", "null is no object."),
        ([], "", "a list is no object."),
        ({}, ".content", "is missing."),
        ({"content": ""}, ".content", "is empty."),
        ({"content": 5}, ".content", "5 is no text."),
        ({"content": ["a"]}, ".content", "a list is no text."),
        ({"prompt": {}}, ".prompt", "an object is no text."),
        ({"content": "a", "prompt": "b"}, ".prompt", "another name"),
        ({"content": "a", "suffix": "b"}, ".suffix", "no such field"),
        ({"prefix": ""}, ".prefix", "is empty."),
        ({"prefix": "a", "suffix": 5}, ".suffix", "5 is no text."),
        ({"prefix": "a", "content": "b"}, ".content", "no such field"),
        ({"messages": []}, ".messages", "is empty."),
        ({"messages": "hello"}, ".messages", "'hello' is no list."),
        ({"messages": {}}, ".messages", "an object is no list."),
        ({"messages": ["hello"]}, ".messages[0]", "'hello' is no object."),
        ({"messages": [user("")]}, ".messages[0].content", "is empty."),
        ({"messages": [user(None)]}, ".messages[0].content", "is missing."),
        ({"messages": [{"content": "a"}]}, ".messages[0].author", "is missing."),
        ({"messages": [{"author": 5, "content": "a"}]}, ".messages[0].author", "5 is no text."),
        ({"messages": [bot("a")]}, ".messages[0].author", "Allowed: user."),
        ({"messages": [user("a"), bot("b")]}, ".messages[1].author", "last message"),
        ({"messages": [user("a")] * 3}, ".messages[1].author", "Allowed: bot."),
        ({"messages": [{"author": "me", "content": "a"}]}, ".messages[0].author", "is nobody"),
        ({"messages": [{**user("a"), "role": "user"}]}, ".messages[0].role", "no such field"),
        ({"messages": [user("a")], "context": 5}, ".context", "5 is no text."),
        ({"messages": [user("a")], "content": "a"}, ".content", "Did you mean context?"),
        ({"messages": [user("a")], "examples": {}}, ".examples", "is no list."),
        ({"messages": [user("a")], "examples": ["a"]}, ".examples[0]", "is no object."),
        (
            {"messages": [user("a")], "examples": [{"input": {"content": "a"}}]},
            ".examples[0].output",
            "is missing.",
        ),
        (
            {
                "messages": [user("a")],
                "examples": [{"input": {"content": 5}, "output": {"content": "b"}}],
            },
            ".examples[0].input.content",
            "5 is no text.",
        ),
    ],
)
def test_wrong_instances(model: TunedModel, instance: Any, place: str, told: str) -> None:
    found = mistakes(model, instances=[{"content": "fine"}, instance])
    assert list(found) == [f"instances[1]{place}"]
    assert told in found[f"instances[1]{place}"]


@pytest.mark.parametrize(
    ("body", "place", "told"),
    [
        ({}, "instances", "is missing. Allowed: a list of 1 to 6 objects."),
        ({"instances": None}, "instances", "is missing."),
        ({"instances": []}, "instances", "has 0 items."),
        ({"instances": [{"content": "x"}] * 7}, "instances", "has 7 items."),
        ({"instances": {"content": "x"}}, "instances", "is no list."),
        ({"instances": [{"content": "x"}], "parameters": []}, "parameters", "is no object."),
        ({"instances": [{"content": "x"}], "parameter": {}}, "parameter", "mean parameters?"),
        ({"instances": [{"content": "x"}], "stream": 1}, "stream", "is no boolean."),
        ({"instances": [{"content": "x"}] * 2, "stream": True}, "stream", "only one candidate"),
        (
            {"instances": [{"content": "x"}], "parameters": {"candidateCount": 2}, "stream": True},
            "stream",
            "only one candidate",
        ),
        (
            {"instances": [{"messages": [user("a")]}], "parameters": {"echo": True}},
            "parameters.echo",
            "Allowed: false.",
        ),
    ],
)
def test_wrong_bodies(model: TunedModel, body: Any, place: str, told: str) -> None:
    found = mistakes(model, **body)
    assert list(found) == [place]
    assert told in found[place]


def test_all_mistakes_are_told_at_once(model: TunedModel) -> None:
    found = mistakes(
        model,
        instances=[{"content": 5}, {"messages": [{"author": "me", "content": ""}]}],
        parameters={"topp": 0.5, "temperature": 3},
        streem=True,
    )
    assert list(found) == [
        "instances[0].content",
        "instances[1].messages[0].author",
        "instances[1].messages[0].content",
        "parameters.temperature",
        "parameters.topp",
        "streem",
    ]


def test_the_limit_is_the_models(tmp_path: Any) -> None:
    model = scripted_model(tmp_path, max_output_tokens=64)
    assert parameters(model).limit == 64
    found = mistakes(model, instances=[{"content": "x"}], parameters={"maxOutputTokens": 65})
    assert "Allowed: 1 to 64." in found["parameters.maxOutputTokens"]
