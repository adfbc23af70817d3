"""ModelGardenService: the publishers' models that clients look up before they tune."""

from __future__ import annotations

import re
from typing import Any

from google.cloud import aiplatform_v1
from google.protobuf.message import Message

from tests.vertex import errors
from tests.vertex.backend import Call, handles

_SCHEMA_FOLDER = "gs://google-cloud-aiplatform/schema/predict/instance"
# The schemas tell vertexai.language_models which of its classes a model is for.
_SCHEMAS = {
    "text": "text_generation_1.0.0.yaml",
    "chat": "chat_generation_1.0.0.yaml",
    "codechat": "codechat_generation_1.0.0.yaml",
    "code": "code_generation_1.0.0.yaml",
}
_NEWEST = "002"
_NAME = re.compile(r"publishers/google/models/((text|chat|codechat|code)-bison(-32k)?)(?:@(\w+))?")


@handles("ModelGardenService.GetPublisherModel")
def get_publisher_model(call: Call, request: Any) -> Message:
    """Give a published model."""
    found = _NAME.fullmatch(request.name)
    if found is None:
        raise errors.not_found(request.name)
    schema = f"{_SCHEMA_FOLDER}/{_SCHEMAS[found.group(2)]}"
    version = found.group(4) or _NEWEST
    model = aiplatform_v1.PublisherModel.pb()(
        name=request.name.partition("@")[0],
        version_id=version,
        launch_stage=aiplatform_v1.PublisherModel.LaunchStage.GA,
        publisher_model_template=(
            "projects/{user-project}/locations/{location}/publishers/google/models/"
            f"{found.group(1)}@{version}"
        ),
    )
    model.predict_schemata.instance_schema_uri = schema
    return model
