"""PredictionService: answered by the container of a deployed model, or by the test's function."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from google.api import httpbody_pb2
from google.protobuf import json_format
from google.protobuf.message import Message

from tests.vertex import errors
from tests.vertex.backend import Call, Predictor, Responses, handles
from tests.vertex.runner_protocol import Container, ContainerAnswer, ContainerError
from tests.vertex.services import checks, models
from tests.vertex.services.endpoints import Endpoint

_JSON = "application/json"
# What becomes of a container's status; other client errors are FAILED_PRECONDITION, other errors of
# the server INTERNAL.
_STATUS_CODES = {
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    409: grpc.StatusCode.ABORTED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    501: grpc.StatusCode.UNIMPLEMENTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}


@handles("PredictionService.Predict")
def predict(call: Call, request: Any) -> Message:
    """Answer instances: the container gets them as JSON, and its predictions are passed on."""
    target = _route(call, request.endpoint)
    asked = {"instances": [json_format.MessageToDict(instance) for instance in request.instances]}
    if request.HasField("parameters"):
        asked["parameters"] = json_format.MessageToDict(request.parameters)
    with target.asked(json.dumps(asked).encode(), _JSON) as answer:
        body = b"".join(answer.chunks)
    response: Any = call.method.response()
    response.deployed_model_id = target.deployed.id
    response.model, response.model_version_id = target.model.name, target.model.version_id
    response.model_display_name = target.model.display_name
    return _with_predictions(response, body)


@handles("PredictionService.RawPredict")
def raw_predict(call: Call, request: Any) -> Message:
    """Pass a body on to the container, and its answer back."""
    body = request.http_body
    with _route(call, request.endpoint).asked(body.data, body.content_type) as answer:
        return _http_body(answer, b"".join(answer.chunks))


@handles("PredictionService.StreamRawPredict")
def stream_raw_predict(call: Call, request: Any) -> Responses:
    """Pass a body on to the container, and its answer back as it comes."""
    body = request.http_body
    stack = ExitStack()
    # An error is told before the stream begins.
    answer = stack.enter_context(_route(call, request.endpoint).asked(body.data, body.content_type))
    return _parts(stack, answer)


def _parts(stack: ExitStack, answer: ContainerAnswer) -> Responses:
    with stack:
        for chunk in answer.chunks:
            yield _http_body(answer, chunk)


@dataclass(frozen=True)
class _Target:
    """Who answers: a deployed model, by its container or by the test's function."""

    deployed: Any
    model: Any
    predictor: Predictor | None
    container: Container | None

    @contextmanager
    def asked(self, body: bytes, content_type: str) -> Iterator[ContainerAnswer]:
        """Ask it.

        Raises:
            ApiError: there is nobody to ask, or the container's answer is an error.
        """
        if self.predictor is not None:
            yield self._predicted(self.predictor, body)
        elif self.container is None:
            raise errors.unavailable(
                "Nothing answers predictions here: call predict_with(), or start with execute=True."
            )
        else:
            try:
                with self.container.post(body, content_type) as answer:
                    if answer.status >= 400:
                        raise _refusal(answer)
                    yield answer
            except ContainerError as error:
                raise errors.unavailable(str(error)) from error

    def _predicted(self, predictor: Predictor, body: bytes) -> ContainerAnswer:
        try:
            content = json.loads(body)
            instances, parameters = content["instances"], content.get("parameters")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise errors.invalid("The body must be JSON with a list of instances.") from error
        try:
            predictions = predictor(json_format.MessageToDict(self.model), instances, parameters)
        except ValueError as error:
            raise errors.invalid(str(error)) from error
        chunk = json.dumps({"predictions": predictions}).encode()
        return ContainerAnswer(200, _JSON, iter([chunk]))


def _route(call: Call, name: str) -> _Target:
    """Choose a deployment by the traffic split."""
    checks.check_project(call, name)
    endpoint = call.store.fetch(name, Endpoint)
    shares = [endpoint.traffic_split.get(item.id, 0) for item in endpoint.deployed_models]
    if not any(shares):
        raise errors.failed_precondition(f"Endpoint {name} does not have any traffic.")
    deployed = random.choices(list(endpoint.deployed_models), shares)[0]
    model = models.find_version(call, f"{deployed.model}@{deployed.model_version_id}")
    container = call.backend.containers.get((endpoint.name, deployed.id))
    return _Target(deployed, model, call.backend.predictor, container)


def _refusal(answer: ContainerAnswer) -> errors.ApiError:
    """A container's error, with its body as the message."""
    is_of_server = answer.status >= 500
    fallback = grpc.StatusCode.INTERNAL if is_of_server else grpc.StatusCode.FAILED_PRECONDITION
    body = b"".join(answer.chunks).decode(errors="replace")
    return errors.ApiError(_STATUS_CODES.get(answer.status, fallback), body)


def _with_predictions(response: Any, body: bytes) -> Message:
    try:
        content = json.loads(body)
        json_format.ParseDict(
            {name: content[name] for name in ("predictions", "metadata") if name in content},
            response,
        )
        content["predictions"]
    except (ValueError, KeyError, TypeError, json_format.ParseError) as error:
        raise errors.ApiError(
            grpc.StatusCode.INTERNAL,
            "Invalid response from prediction server - the response field predictions is missing. "
            f"Response: {body.decode(errors='replace')}",
        ) from error
    message: Message = response
    return message


def _http_body(answer: ContainerAnswer, data: bytes) -> Message:
    return httpbody_pb2.HttpBody(content_type=answer.content_type, data=data)
