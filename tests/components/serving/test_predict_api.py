"""The predict route: what is asked in the published ways is answered as their clients read it."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kfp_llm_tuning.components.generation.engine import GenerationRequest
from tests.components.serving.scripted_engine import Line
from tests.components.serving.scripted_server import (
    ScriptedServer,
    events,
    leave_early,
    scripted_server,
)

SAFETY = {"categories": [], "scores": [], "blocked": False}
CITATIONS: dict[str, Any] = {"citations": []}
HELLO = {"content": "Hello"}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedServer]:
    with scripted_server(tmp_path_factory.mktemp("model")) as running:
        yield running


@pytest.fixture
def server(shared: ScriptedServer) -> ScriptedServer:
    shared.engine.requests.clear()
    shared.engine.tickets.clear()
    return shared


def user(content: str) -> dict[str, str]:
    return {"author": "user", "content": content}


def contents(body: dict[str, Any]) -> list[str]:
    return [prediction["content"] for prediction in body["predictions"]]


def by_prompt(server: ScriptedServer, answers: dict[str, str]) -> None:
    """Has the engine answer each prompt with a text of its own."""

    def script(request: GenerationRequest) -> Line:
        [prompt] = server.engine.decode([request.prompt])
        return Line(server.engine.tokens(answers[prompt]))

    server.engine.script = script


def test_a_text(server: ScriptedServer) -> None:
    server.engine.says("Good day")
    response = server.predict({"content": "He llo"})
    assert response.status_code == 200
    assert response.json() == {
        "predictions": [
            {"content": "Good day", "safetyAttributes": SAFETY, "citationMetadata": CITATIONS}
        ],
        "metadata": {
            "tokenMetadata": {
                # <bos>, the text and the newline behind it.
                "inputTokenCount": {"totalTokens": 8, "totalBillableCharacters": 5},
                "outputTokenCount": {"totalTokens": 8, "totalBillableCharacters": 7},
            }
        },
    }
    assert server.engine.prompts() == ["He llo\n"]
    [request] = server.engine.requests
    assert request.max_new_tokens == 1024
    assert list(request.stop_tokens) == [server.engine.tokenizer.eos_token_id]


def test_a_conversation(server: ScriptedServer) -> None:
    server.engine.says("Aye")
    instance = {
        "context": "Be a pirate.",
        "examples": [{"input": {"content": "Yes?"}, "output": {"content": "Aye."}}],
        "messages": [user("Ship?"), {"author": "bot", "content": "Ahoy"}, user("Really?")],
    }
    [prediction] = server.predict(instance).json()["predictions"]
    assert prediction == {
        "candidates": [{"author": "bot", "content": "Aye"}],
        "safetyAttributes": [SAFETY],
        "citationMetadata": [CITATIONS],
    }
    assert server.engine.prompts() == [
        "Be a pirate.\n\nuser:\nYes?\nassistant:\nAye.\nuser:\nShip?\nassistant:\nAhoy\n"
        "user:\nReally?\nassistant:\n"
    ]


def test_instances_are_answered_in_order_and_counted_together(server: ScriptedServer) -> None:
    by_prompt(server, {"a\n": "one", "b\n": "two", "user:\nc\nassistant:\n": "three"})
    instances = ({"content": "a"}, {"prefix": "b"}, {"messages": [user("c")]})
    body = server.predict(*instances).json()
    assert contents({"predictions": body["predictions"][:2]}) == ["one", "two"]
    assert body["predictions"][2]["candidates"][0]["content"] == "three"
    counts = body["metadata"]["tokenMetadata"]
    assert counts["outputTokenCount"] == {"totalTokens": 11, "totalBillableCharacters": 11}
    assert counts["inputTokenCount"]["totalBillableCharacters"] == 3


def test_candidates_of_texts_are_predictions_and_of_conversations_are_not(
    server: ScriptedServer,
) -> None:
    server.engine.script = lambda request: Line(
        server.engine.tokens(f"seed {request.sampling.seed}")
    )
    instances = (HELLO, {"messages": [user("Hello")]})
    first, second, chat = server.predict(
        *instances, candidateCount=2, temperature=1, seed=2**63 - 1
    ).json()["predictions"]
    texts = [f"seed {2**63 - 1}", "seed 0"]
    assert [first["content"], second["content"]] == texts
    assert [candidate["content"] for candidate in chat["candidates"]] == texts
    assert chat["safetyAttributes"] == [SAFETY] * 2
    assert chat["citationMetadata"] == [CITATIONS] * 2


def test_without_a_seed_every_candidate_is_drawn_anew(server: ScriptedServer) -> None:
    server.engine.says("x")
    server.predict(HELLO, candidateCount=3, temperature=1)
    assert [request.sampling.seed for request in server.engine.requests] == [None] * 3


def test_an_answer_ends_before_the_stop_sequence(server: ScriptedServer) -> None:
    server.engine.says("one 😀 two", wait=None)
    body = server.predict(HELLO, stopSequences=["two", "😀"]).json()
    assert contents(body) == ["one "]
    # Those that were really written: the four bytes of the character are among them.
    assert body["metadata"]["tokenMetadata"]["outputTokenCount"]["totalTokens"] == 8


def test_an_answer_that_is_stopped_is_not_written_to_its_end(server: ScriptedServer) -> None:
    unending = threading.Event()
    server.engine.says("!abc", wait=unending)
    assert contents(server.predict(HELLO, stopSequences=["!"]).json()) == [""]
    assert server.engine.tickets[0].cancelled.wait(10)
    unending.set()


def test_logprobs(server: ScriptedServer) -> None:
    server.engine.says("aé")
    [prediction] = server.predict(HELLO, logprobs=2).json()["predictions"]
    assert prediction["content"] == "aé"
    assert prediction["logprobs"] == {
        "tokens": ["a", "\ufffd", "\ufffd"],
        "tokenLogProbs": [-0.5] * 3,
        "topLogProbs": [{"a": -0.5, "b": -1.5}, {"\ufffd": -0.5}, {"\ufffd": -0.5}],
    }


def test_logprobs_of_what_was_ruled_out_are_numbers(server: ScriptedServer) -> None:
    server.engine.says("a")
    [prediction] = server.predict(HELLO, logprobs=0).json()["predictions"]
    assert prediction["logprobs"] == {
        "tokens": ["a"],
        "tokenLogProbs": [-9999.0],
        "topLogProbs": [{}],
    }
    assert not math.isinf(prediction["logprobs"]["tokenLogProbs"][0])


def test_logprobs_of_a_conversation(server: ScriptedServer) -> None:
    server.engine.says("a!b")
    instance = {"messages": [user("Hello")]}
    [prediction] = server.predict(
        instance, logprobs=1, candidateCount=2, stopSequences=["!"]
    ).json()["predictions"]
    assert [told["tokens"] for told in prediction["logprobs"]] == [["a"], ["a"]]


def test_echo(server: ScriptedServer) -> None:
    server.engine.says(" there")
    body = server.predict(HELLO, {"prefix": "def"}, echo=True).json()
    assert contents(body) == ["Hello there", "def there"]
    assert body["metadata"]["tokenMetadata"]["outputTokenCount"]["totalBillableCharacters"] == 10


@pytest.mark.parametrize(
    "text",
    [
        "👩🏽‍🚀 family 👨‍👩‍👧‍👦",
        "e\u0301 n\u0303 \u0e01\u0e33",
        "שלום \u202eעולם\u202c مرحبا",
        "a\x00b\x01\x7f",
        "\u2028\u2029\x85\r\n\t",
        "\U0010ffff\U00010000\uffff\ud7ff\ue000",
        '"\\ \b \f </script> \u0000',
        "<bos><eos></s><|im_end|>",
        "\ufeffBOM",
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_any_text_goes_in_and_comes_out_as_it_is(
    server: ScriptedServer, text: str, stream: bool
) -> None:
    server.engine.says(text)
    response = server.predict({"content": text}, stream=stream)
    bodies = events(response) if stream else [response.json()]
    assert "".join(content for body in bodies for content in contents(body)) == text
    assert server.engine.prompts() == [f"{text}\n"]


def test_a_limit_in_the_middle_of_a_character(server: ScriptedServer) -> None:
    server.engine.says("a😀")
    for stream in (False, True):
        response = server.predict(HELLO, maxOutputTokens=3, stream=stream)
        bodies = events(response) if stream else [response.json()]
        assert "".join(content for body in bodies for content in contents(body)) == "a\ufffd"


def test_a_stream_is_the_answer_in_pieces(server: ScriptedServer) -> None:
    server.engine.says("a€ END")
    found = events(server.predict(HELLO, stream=True, stopSequences=["END"], logprobs=0))
    assert [contents(event) for event in found] == [["a"], ["€"], [" "], [""]]
    assert ["metadata" in event for event in found] == [False, False, False, True]
    assert found[-1]["metadata"] == {
        "tokenMetadata": {
            "inputTokenCount": {"totalTokens": 7, "totalBillableCharacters": 5},
            "outputTokenCount": {"totalTokens": 8, "totalBillableCharacters": 2},
        }
    }
    tokens = [event["predictions"][0]["logprobs"]["tokens"] for event in found]
    assert tokens == [["a"], ["\ufffd"] * 3, [" "], []]


def test_a_streamed_conversation(server: ScriptedServer) -> None:
    server.engine.says("ab")
    found = events(server.predict({"messages": [user("Hello")]}, stream=True))
    texts = [event["predictions"][0]["candidates"] for event in found]
    assert texts == [[{"author": "bot", "content": text}] for text in ("a", "b", "")]


def test_a_stream_with_echo(server: ScriptedServer) -> None:
    server.engine.says("ab")
    found = events(server.predict(HELLO, stream=True, echo=True))
    assert [contents(event) for event in found] == [["Helloa"], ["b"], [""]]


def test_a_gap_cannot_be_filled_by_a_model_that_never_learned_to(server: ScriptedServer) -> None:
    response = server.predict({"prefix": "a", "suffix": "b"}, HELLO)
    assert response.status_code == 400
    error = response.json()["error"]
    assert "instances[0]" in error["message"]
    assert "no tokens for filling a gap" in error["message"]
    assert not server.engine.requests


def test_prompts_that_are_too_long_are_refused_and_not_cut(tmp_path: Path) -> None:
    limits = {"max_input_tokens": 8, "max_output_tokens": 4}
    with scripted_server(tmp_path, limits) as server:
        server.engine.says("x")
        assert server.predict({"content": "123456"}).status_code == 200
        response = server.predict({"content": "1234567"}, HELLO, {"content": "z" * 100_000})
        assert response.status_code == 400
        message = response.json()["error"]["message"]
        # <bos> and the newline are counted; what is far too long is not even looked at.
        assert "instances[2]: The model supports up to 8 input tokens" in message
        message = server.predict({"content": "1234567"}, HELLO).json()["error"]["message"]
        assert message == (
            "instances[0]: The model supports up to 8 input tokens, but received 9 tokens."
        )


def test_a_prompt_leaves_room_for_an_answer(tmp_path: Path) -> None:
    with scripted_server(tmp_path) as server:
        server.engine.context_length = 9
        server.engine.says("x")
        assert server.predict({"content": "123456"}).status_code == 200
        message = server.predict({"content": "1234567"}).json()["error"]["message"]
        assert "supports up to 8 input tokens, but received 9" in message


def test_a_long_prompt_is_read_beside_other_requests(server: ScriptedServer) -> None:
    text = "ü" * 15_000
    server.app.state.service.model.max_input_tokens = 50_000
    server.engine.context_length = 60_000
    server.engine.says("x")
    try:
        body = server.predict({"content": text}, {"content": "a"}).json()
    finally:
        server.app.state.service.model.max_input_tokens = 8192
        server.engine.context_length = 16_384
    counts = body["metadata"]["tokenMetadata"]["inputTokenCount"]
    assert counts == {"totalTokens": 30_002 + 3, "totalBillableCharacters": 15_001}


def test_requests_of_openai_come_through_raw_predictions(server: ScriptedServer) -> None:
    server.engine.says("Hi")
    body = server.client.post("/predict", json={"messages": [{"role": "user", "content": "x"}]})
    assert body.json()["object"] == "chat.completion"
    assert body.json()["choices"][0]["message"]["content"] == "Hi"
    body = server.client.post("/predict", json={"prompt": "x", "model": "any"})
    assert body.json()["object"] == "text_completion"
    stream = server.client.post("/predict", json={"prompt": "x", "stream": True})
    assert events(stream)[-1] == "[DONE]"


def test_requests_of_openai_come_as_an_instance(server: ScriptedServer) -> None:
    server.engine.says("Hi")
    instance = {
        "@requestFormat": "chatCompletions",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}],
        "max_tokens": 100,
    }
    body = server.client.post("/predict", json={"instances": [instance], "parameters": {}}).json()
    assert list(body) == ["predictions"]
    assert body["predictions"]["choices"][0]["message"]["content"] == "Hi"
    assert server.engine.requests[0].max_new_tokens == 100


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"author": "user", "content": "x"}]}, "messages[0].role"),
        ({"prompt": 5}, "prompt"),
        ({"instances": [{"@requestFormat": "chatCompletions"}]}, "messages"),
    ],
)
def test_their_mistakes_are_told_as_openai_does(
    server: ScriptedServer, body: dict[str, Any], place: str
) -> None:
    response = server.client.post("/predict", json=body)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == place


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"instances": [{"@requestFormat": "x"}]}, "'x' is not known. Allowed: chatCompletions."),
        ({"instances": [{"@requestFormat": "chatCompletions"}] * 2}, "only one instance"),
        (
            {"instances": [{"@requestFormat": "chatCompletions"}], "parameters": {"topK": 1}},
            "fields of the instance",
        ),
        ({"messages": None}, "instances: is missing."),
        ({"prompt": None}, "instances: is missing."),
    ],
)
def test_what_is_neither(server: ScriptedServer, body: dict[str, Any], told: str) -> None:
    response = server.client.post("/predict", json=body)
    assert response.json()["error"]["status"] == "INVALID_ARGUMENT"
    assert told in response.json()["error"]["message"]


def test_a_fault_tells_no_more_than_where_to_look(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.engine.says("ab", error=ZeroDivisionError("secret"))
    response = server.client.post(
        "/predict", json={"instances": [HELLO]}, headers={"X-Request-Id": "request-7"}
    )
    assert response.status_code == 500
    error = response.json()["error"]
    assert error == {
        "code": 500,
        "message": "Internal error. The server's log tells more: request request-7.",
        "status": "INTERNAL",
    }
    assert "ZeroDivisionError: secret" in caplog.text
    server.engine.says("fine")
    assert server.predict(HELLO).status_code == 200


def test_a_fault_in_a_stream_is_its_last_event(server: ScriptedServer) -> None:
    server.engine.says("ab", error=ZeroDivisionError("secret"))
    found = events(server.predict(HELLO, stream=True))
    assert [contents(event) for event in found[:2]] == [["a"], ["b"]]
    assert found[2]["error"]["status"] == "INTERNAL"
    assert len(found) == 3


def test_time_is_up(tmp_path: Path) -> None:
    unending = threading.Event()
    with scripted_server(tmp_path, request_timeout_seconds=0.2) as server:
        server.engine.says("ab", wait=unending)
        response = server.predict(HELLO)
        assert response.status_code == 504
        assert response.json()["error"]["status"] == "DEADLINE_EXCEEDED"
        found = events(server.predict(HELLO, stream=True))
        assert contents(found[0]) == ["a"]
        assert found[1]["error"]["code"] == 504
        assert all(ticket.cancelled.is_set() for ticket in server.engine.tickets)
        assert server.app.state.service.admission.under_way == 0
        unending.set()


@pytest.mark.parametrize("stream", [False, True])
def test_nothing_is_written_for_a_client_that_left(server: ScriptedServer, stream: bool) -> None:
    unending = threading.Event()
    server.engine.says("ab", wait=unending)
    body = {"instances": [HELLO], "stream": stream}
    sent = asyncio.run(leave_early(server, "/predict", body))
    assert server.engine.tickets[0].cancelled.is_set()
    assert server.app.state.service.admission.under_way == 0
    assert b"INTERNAL" not in b"".join(message.get("body", b"") for message in sent)
    unending.set()


def test_a_full_server_says_when_to_come_again(tmp_path: Path) -> None:
    with scripted_server(tmp_path, max_queue=2) as server:
        server.engine.says("x")
        server.app.state.service.admission.under_way = 1
        assert server.predict(HELLO).status_code == 200
        full = [server.predict(HELLO, HELLO), server.predict(HELLO, candidateCount=2)]
        server.app.state.service.admission.under_way = 2
        full.append(server.predict(HELLO, stream=True))
        for response in full:
            assert response.status_code == 429
            assert response.json()["error"]["status"] == "RESOURCE_EXHAUSTED"
            assert int(response.headers["retry-after"]) >= 1
        never = server.predict(HELLO, candidateCount=3)
        assert (never.status_code, "retry-after" in never.headers) == (400, False)


def test_a_model_that_is_not_there(server: ScriptedServer) -> None:
    service = server.app.state.service
    model, service.model = service.model, None
    try:
        response = server.predict(HELLO)
    finally:
        service.model = model
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    server.engine.alive = False
    try:
        response = server.predict(HELLO)
    finally:
        server.engine.alive = True
    assert response.status_code == 503
    assert response.json()["error"]["status"] == "UNAVAILABLE"


def test_what_is_counted_and_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with scripted_server(tmp_path) as server, caplog.at_level("INFO"):
        server.engine.says("abc")
        server.predict(HELLO, {"content": "secret"}, candidateCount=2)
        page = server.client.get("/metrics").text
    labels = '{model="my-model",route="/predict"}'
    assert f"kfp_llm_tuning_prompt_tokens_total{labels} 15.0" in page
    assert f"kfp_llm_tuning_output_tokens_total{labels} 12.0" in page
    assert 'first_token_seconds_count{model="my-model"} 1.0' in page
    [line] = [record for record in caplog.records if record.name == "kfp_llm_tuning.requests"]
    facts = vars(line)
    assert (facts["instances"], facts["prompt_tokens"], facts["output_tokens"]) == (2, 15, 12)
    assert "secret" not in str(facts)


def test_prompts_and_answers_are_logged_where_that_is_wanted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with scripted_server(tmp_path, log_prompts=True) as server, caplog.at_level("INFO"):
        server.engine.says("abc")
        server.predict(HELLO)
    [line] = [record for record in caplog.records if record.name == "kfp_llm_tuning.requests"]
    assert (vars(line)["prompts"], vars(line)["answers"]) == (["Hello\n"], ["abc"])
