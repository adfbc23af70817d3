"""PredictionService: answered by the test's function, or by the deployed model's own code."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

from google.api import httpbody_pb2
from google.protobuf import json_format
from google.protobuf.message import Message

from tests.vertex import errors
from tests.vertex.backend import Call, handles
from tests.vertex.services import checks, models
from tests.vertex.services.endpoints import Endpoint


@handles("PredictionService.Predict")
def predict(call: Call, request: Any) -> Message:
    """Answer instances."""
    deployed, model = _route(call, request.endpoint)
    instances = [json_format.MessageToDict(instance) for instance in request.instances]
    parameters = json_format.MessageToDict(request.parameters)
    response: Any = call.method.response()
    for prediction in _predictions(call, deployed, model, instances, parameters):
        json_format.ParseDict(prediction, response.predictions.add())
    response.deployed_model_id = deployed.id
    response.model, response.model_version_id = model.name, model.version_id
    response.model_display_name = model.display_name
    return response


@handles("PredictionService.RawPredict")
def raw_predict(call: Call, request: Any) -> Message:
    """Answer a body as the model's container would: JSON in, JSON out."""
    deployed, model = _route(call, request.endpoint)
    try:
        body = json.loads(request.http_body.data)
        instances, parameters = body["instances"], body.get("parameters")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise errors.invalid("The body must be JSON with a list of instances.") from error
    predictions = _predictions(call, deployed, model, instances, parameters)
    answer = json.dumps({"predictions": predictions}).encode()
    return httpbody_pb2.HttpBody(content_type="application/json", data=answer)


def _route(call: Call, name: str) -> tuple[Any, Any]:
    """A deployment, chosen by the traffic split, and its model."""
    checks.check_project(call, name)
    endpoint = call.store.fetch(name, Endpoint)
    shares = [endpoint.traffic_split.get(item.id, 0) for item in endpoint.deployed_models]
    if not any(shares):
        raise errors.failed_precondition(f"Endpoint {name} does not have any traffic.")
    deployed = random.choices(list(endpoint.deployed_models), shares)[0]
    model = models.find_version(call, f"{deployed.model}@{deployed.model_version_id}")
    return deployed, model


def _predictions(
    call: Call, deployed: Any, model: Any, instances: Sequence[Any], parameters: Any
) -> list[Any]:
    backend = call.backend
    body = json_format.MessageToDict(model)
    try:
        if backend.predictor is not None:
            return backend.predictor(body, instances, parameters)
        if backend.runner is None:
            raise errors.unavailable(
                "Nothing answers predictions here: call predict_with(), or start with execute=True."
            )
        folder = backend.folder / f"deployed-{deployed.id}"
        folder.mkdir(parents=True, exist_ok=True)
        return backend.runner.predict(body, instances, parameters, backend.environment, folder)
    except ValueError as error:
        raise errors.invalid(str(error)) from error
