"""What the published SDK's own code makes of our answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from google.cloud.aiplatform.models import Prediction
from vertexai.language_models import _language_models as sdk

from tests.components.serving.scripted_engine import Line
from tests.components.serving.scripted_server import ScriptedServer, scripted_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedServer]:
    with scripted_server(tmp_path_factory.mktemp("model")) as running:
        running.engine.script = lambda request: Line(
            running.engine.tokens(f"candidate {request.sampling.seed}")
        )
        yield running


def answered(server: ScriptedServer, request: Any) -> Prediction:
    """Sends what the SDK made, all of whose numbers Vertex AI passes on as doubles."""
    parameters = {
        name: float(value) if isinstance(value, int) else value
        for name, value in request.parameters.items()
    }
    response = server.predict(request.instance, **parameters)
    assert response.status_code == 200, response.text
    return Prediction(predictions=response.json()["predictions"], deployed_model_id="")


def test_texts(server: ScriptedServer) -> None:
    request = sdk._create_text_generation_prediction_request(
        "Hello",
        max_output_tokens=128,
        temperature=1,
        top_k=40,
        top_p=1,
        stop_sequences=["\n"],
        candidate_count=3,
        logprobs=2,
        presence_penalty=0.5,
        frequency_penalty=-0.5,
        logit_bias={"5": 1.0},
        seed=7,
    )
    prediction = answered(server, request)
    response = sdk._parse_text_generation_model_multi_candidate_response(prediction)
    texts = ["candidate 7", "candidate 8", "candidate 9"]
    assert [candidate.text for candidate in response.candidates] == texts
    assert response.text == "candidate 7"
    assert (response.is_blocked, response.errors, response.safety_attributes) == (False, (), {})
    sampling = server.engine.requests[-1].sampling
    assert (sampling.top_k, sampling.top_p, sampling.presence_penalty) == (40, 1.0, 0.5)


def test_code(server: ScriptedServer) -> None:
    model = sdk.CodeGenerationModel.__new__(sdk.CodeGenerationModel)
    request = model._create_prediction_request(
        "def f(x):", max_output_tokens=64, temperature=0, candidate_count=2
    )
    prediction = answered(server, request)
    response = sdk._parse_text_generation_model_multi_candidate_response(prediction)
    assert [candidate.text for candidate in response.candidates] == ["candidate None"] * 2


def test_a_session_of_three_turns(server: ScriptedServer) -> None:
    session = sdk._ChatSessionBase(
        model=None,
        context="Be a pirate.",
        examples=[sdk.InputOutputTextPair("Yes?", "Aye.")],
        max_output_tokens=64,
        temperature=0.0,
    )
    for turn in range(3):
        request = session._prepare_request(f"turn {turn}", candidate_count=2)
        prediction = answered(server, request)
        response = session._parse_chat_prediction_response(prediction)
        assert [candidate.text for candidate in response.candidates] == ["candidate None"] * 2
        assert response.safety_attributes == {}
        session._message_history += [
            sdk.ChatMessage(content=f"turn {turn}", author=session.USER_AUTHOR),
            sdk.ChatMessage(content=response.text, author=session.MODEL_AUTHOR),
        ]
    [prompt] = server.engine.decode([server.engine.requests[-1].prompt])
    assert prompt.startswith("Be a pirate.\n\nuser:\nYes?\nassistant:\nAye.\nuser:\nturn 0\n")
    assert prompt.endswith("assistant:\ncandidate None\nuser:\nturn 2\nassistant:\n")


@pytest.mark.parametrize(
    "source",
    [sdk.WebSearch(), sdk.InlineContext("x"), sdk.VertexAISearch("store", "global", project="p")],
)
def test_grounding_is_refused_with_the_reason(server: ScriptedServer, source: Any) -> None:
    request = sdk._create_text_generation_prediction_request("Hello", grounding_source=source)
    response = server.predict(request.instance, **request.parameters)
    assert response.status_code == 400
    assert "searches for no sources" in response.json()["error"]["message"]
