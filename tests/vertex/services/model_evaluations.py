"""ModelService: evaluations of a version, which are imported and read, and go with their model."""

from __future__ import annotations

from typing import Any

from google.cloud import aiplatform_v1
from google.protobuf.message import Message

from tests.vertex import errors
from tests.vertex.backend import Call, handles, require
from tests.vertex.services import checks, generic, paging
from tests.vertex.services.models import find_version

ModelEvaluation = aiplatform_v1.ModelEvaluation.pb()


@handles("ModelService.ImportModelEvaluation")
def import_evaluation(call: Call, request: Any) -> Message:
    """Store an evaluation beneath the version that is named, or the default one."""
    checks.check_project(call, request.parent)
    require(request, "model_evaluation.metrics")
    evaluation = request.model_evaluation
    schema = evaluation.metrics_schema_uri
    if not schema.startswith("gs://google-cloud-aiplatform/schema/modelevaluation/"):
        raise errors.invalid(f"Invalid model_evaluation.metrics_schema_uri {schema!r}.")
    evaluation.name = f"{_version(call, request.parent)}/evaluations/{generic.new_number()}"
    evaluation.create_time.CopyFrom(call.backend.clock.timestamp())
    call.store.create(evaluation.name, evaluation)
    return call.store.fetch(evaluation.name, ModelEvaluation)


@handles("ModelService.ListModelEvaluations")
def list_evaluations(call: Call, request: Any) -> Message:
    """List the evaluations of a version."""
    parent = _version(call, request.parent)
    return paging.page(call, request, call.store.children(parent, "evaluations", ModelEvaluation))


def _version(call: Call, name: str) -> str:
    version = find_version(call, name)
    return f"{version.name}@{version.version_id}"
