"""A model's evaluation on Vertex AI: imported once a run, and read where models are listed.

Vertex AI deletes no evaluation but with its model: should a request whose answer was lost be done
late, the version has the same evaluation twice, and the older one counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from google.api_core import exceptions

from kfp_llm_tuning.components.common.primary_metric import BASE, PRIMARY_KEY, TUNED
from kfp_llm_tuning.components.common.vertex import ONCE, READ, Vertex, ensure

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1.types import ModelEvaluation

# Names of a schema's fields, and of ours. Vertex AI refuses metrics that do not fit the schema that
# they name ("Invalid Metrics Format"); what the schemas hold stands in the reference of
# google.cloud.aiplatform.v1.schema.modelevaluation.metrics.
_SCHEMAS = "gs://google-cloud-aiplatform/schema/modelevaluation"
_CLASSIFICATION = (
    f"{_SCHEMAS}/classification_metrics_1.0.0.yaml",
    {"auPrc": "auPrc", "auRoc": "auRoc", "logLoss": "logLoss"},
)
_TEXT_GENERATION = (
    f"{_SCHEMAS}/general_text_generation_metrics_1.0.0.yaml",
    {"bleu": "bleu", "rougeLSum": "rougeLsum"},
)
# Of the run that evaluated, as Google Cloud's importer names it.
_RUN_KEY = "pipeline_job_id"


def import_evaluation(
    vertex: Vertex,
    version: str,
    run_id: str,
    sides: Mapping[str, Mapping[str, float]],
    primary: str,
) -> str:
    """Gives a version the evaluation of its run, unless it has it.

    Its metrics are those that Vertex AI has a schema for, of the tuned model; every metric of both
    models is in its metadata.

    Args:
        vertex: Where.
        version: ``projects/../models/ID@VERSION``.
        run_id: The pipeline run.
        sides: Metrics of the base and of the tuned model by name.
        primary: Name of the metric that the evaluation judges by; empty for none.

    Returns:
        Resource name of the evaluation.

    Raises:
        UserError: If Vertex AI refuses.
    """
    from google.cloud.aiplatform_v1 import ModelServiceClient
    from google.cloud.aiplatform_v1.types import ModelEvaluation

    client = vertex.client(ModelServiceClient)
    content = {_RUN_KEY: run_id, PRIMARY_KEY: primary, **{k: dict(v) for k, v in sides.items()}}
    schema, metrics = _in_schema(sides[TUNED])
    evaluation = ModelEvaluation(
        display_name=run_id, metrics=metrics, metrics_schema_uri=schema, metadata=content
    )

    def find() -> ModelEvaluation | None:
        found = client.list_model_evaluations(parent=version, **ONCE)
        ours = [one for one in found if _content(one).get(_RUN_KEY) == run_id]
        return min(ours, key=lambda one: one.create_time, default=None)

    def make() -> ModelEvaluation:
        return client.import_model_evaluation(parent=version, model_evaluation=evaluation, **ONCE)

    return str(ensure(find, make, f"import the evaluation of {version}").resource.name)


def read_evaluation(client: Any, version: str) -> tuple[dict[str, float], str]:
    """Reads the evaluation of a version that our pipeline registered.

    Args:
        client: A ``ModelServiceClient``.
        version: ``projects/../models/ID@VERSION``.

    Returns:
        ``base/METRIC`` and ``tuned/METRIC`` with their values, and the name of the primary metric;
        nothing where there is no such evaluation, or where the account may not read it.
    """
    try:
        found = list(client.list_model_evaluations(parent=version, **READ))
    except (exceptions.Forbidden, exceptions.NotFound):
        return {}, ""
    ours = [one for one in found if _RUN_KEY in _content(one) and TUNED in _content(one)]
    if not ours:
        return {}, ""
    content = _content(min(ours, key=lambda one: one.create_time))
    metrics = {
        f"{side}/{name}": float(value)
        for side in (BASE, TUNED)
        for name, value in dict(content.get(side) or {}).items()
    }
    return metrics, str(content.get(PRIMARY_KEY) or "")


def _in_schema(tuned: Mapping[str, float]) -> tuple[str, dict[str, float]]:
    """Chooses the schema that describes a model, and the metrics that it has a place for."""
    labels = _CLASSIFICATION[1].values()
    schema, names = _TEXT_GENERATION if tuned.keys().isdisjoint(labels) else _CLASSIFICATION
    return schema, {field: tuned[name] for field, name in names.items() if name in tuned}


def _content(evaluation: ModelEvaluation) -> Mapping[str, Any]:
    metadata = evaluation.metadata
    return metadata if isinstance(metadata, Mapping) else {}
