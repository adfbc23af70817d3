"""ModelService: evaluations of a version, which are imported and read, and go with their model."""

from __future__ import annotations

import math
from typing import Any

from google.cloud import aiplatform_v1
from google.protobuf.message import Message

from tests.vertex import errors
from tests.vertex.backend import Call, handles, require
from tests.vertex.services import checks, generic, paging
from tests.vertex.services.models import find_version

ModelEvaluation = aiplatform_v1.ModelEvaluation.pb()

# The schemas of classification and text in the reference of
# google.cloud.aiplatform.v1.schema.modelevaluation.metrics; those of other tasks are not served.
_SCHEMAS = "gs://google-cloud-aiplatform/schema/modelevaluation"
_FIELDS = {
    "classification": {"auPrc", "auRoc", "logLoss", "confidenceMetrics", "confusionMatrix"},
    "general_text_generation": {"bleu", "rougeLSum"},
    "question_answering": {"exactMatch"},
    "summarization": {"rougeLSum"},
}


@handles("ModelService.ImportModelEvaluation")
def import_evaluation(call: Call, request: Any) -> Message:
    """Store an evaluation beneath the version that is named, or the default one."""
    checks.check_project(call, request.parent)
    require(request, "model_evaluation.metrics")
    evaluation = request.model_evaluation
    _check_metrics(evaluation.metrics_schema_uri, evaluation.metrics)
    evaluation.name = f"{_version(call, request.parent)}/evaluations/{generic.new_number()}"
    evaluation.create_time.CopyFrom(call.backend.clock.timestamp())
    call.store.create(evaluation.name, evaluation)
    return call.store.fetch(evaluation.name, ModelEvaluation)


@handles("ModelService.ListModelEvaluations")
def list_evaluations(call: Call, request: Any) -> Message:
    """List the evaluations of a version."""
    parent = _version(call, request.parent)
    return paging.page(call, request, call.store.children(parent, "evaluations", ModelEvaluation))


def _check_metrics(schema: str, metrics: Any) -> None:
    """Refuse what the schema has no field for, and a number that JSON cannot carry.

    The service's answer stands in issue 5570 of googleapis/python-aiplatform.

    Raises:
        ApiError: it is one of these (400).
    """
    fields = {f"{_SCHEMAS}/{task}_metrics_1.0.0.yaml": names for task, names in _FIELDS.items()}
    if schema not in fields:
        raise errors.invalid(f"Invalid model_evaluation.metrics_schema_uri {schema!r}.")
    values = metrics.struct_value.fields
    numbers = (value.number_value for value in values.values())
    if not metrics.HasField("struct_value") or not set(values) <= fields[schema]:
        raise errors.invalid("Invalid Metrics Format")
    if not all(map(math.isfinite, numbers)):
        raise errors.invalid("Invalid value: NaN and Infinity are no JSON numbers.")


def _version(call: Call, name: str) -> str:
    version = find_version(call, name)
    return f"{version.name}@{version.version_id}"
