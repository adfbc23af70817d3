"""What a registered version says of itself: labels for programs, a description for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kfp_llm_tuning.components.common.primary_metric import PRIMARY_LABEL
from kfp_llm_tuning.components.common.wording import counted
from kfp_llm_tuning.components.upload.json_inputs import JsonInputs

if TYPE_CHECKING:
    from kfp_llm_tuning.components.common.primary_metric import PrimaryMetric
    from kfp_llm_tuning.components.models.model_reference import ModelReference

# Clients list tuned models by this label and read the base model from it.
BASE_MODEL_LABEL = "google-vertex-llm-tuning-base-model-id"
RUN_LABEL = "pipeline-run-id"
# The worst alarm of a model's evaluation, such as not_above_majority.
QUALITY_LABEL = "quality-warning"


def parse_labels(text: str) -> dict[str, str]:
    """Reads the labels that a user gave to the run.

    Args:
        text: A JSON object of strings; empty for none.

    Returns:
        The labels.

    Raises:
        UserError: If the text is something else.
    """
    given = JsonInputs()
    labels = given.strings("labels", text)
    given.raise_problems()
    return labels


def version_labels(
    provenance: Mapping[str, Any],
    reference: ModelReference,
    display_name: str,
    run_id: str,
    given: Mapping[str, str],
    primary: PrimaryMetric | None = None,
) -> dict[str, str]:
    """Collects the labels of a version.

    Args:
        provenance: From ``saved_model.read_provenance``.
        reference: What the user asked to tune.
        display_name: What the user called the model.
        run_id: The pipeline run.
        given: The user's own labels; ours take the place of those of the same name.
        primary: The metric that the evaluation judges by, where there is one.

    Returns:
        Names and values; what is not known is left out.
    """
    ours = {
        BASE_MODEL_LABEL: reference.label,
        RUN_LABEL: run_id,
        "model-display-name": display_name,
        "model-reference": reference.name,
        "tuned-checkpoint": provenance.get("checkpoint", reference.checkpoint),
        "tuned-checkpoint-revision": provenance.get("revision", reference.revision),
        "substitutes-for": reference.substitute_for,
        "dataset-sha256": _dataset(provenance).get("source_sha256"),
        PRIMARY_LABEL: primary.name if primary else "",
    }
    return {**given, **{name: str(value) for name, value in ours.items() if value}}


def quality_labels(evaluation: Mapping[str, Any]) -> dict[str, str]:
    """Warns of a model that its evaluation found to be not worth keeping.

    Args:
        evaluation: From ``run_content.read_evaluation``.

    Returns:
        ``QUALITY_LABEL`` with the worst alarm; nothing where there is none.
    """
    alarms = evaluation.get("alarms") or []
    return {QUALITY_LABEL: str(alarms[0]["kind"])} if alarms else {}


def version_description(
    provenance: Mapping[str, Any],
    reference: ModelReference,
    metrics: Mapping[str, float],
    primary: PrimaryMetric | None = None,
) -> str:
    """Tells a person what the version is, the substitution of a closed model first.

    Args:
        provenance: From ``saved_model.read_provenance``.
        reference: What the user asked to tune.
        metrics: From ``run_content.final_metrics``.
        primary: The metric that comes first, where there is one.

    Returns:
        Markdown.
    """
    lines = [f"{reference.name}, tuned from {reference.checkpoint_at_revision}."]
    if reference.substitution_notice:
        lines.append(reference.substitution_notice)
    dataset = _dataset(provenance)
    if dataset:
        lines.append(
            f"Data: {dataset.get('examples', '?')} examples of {dataset.get('source_uri', '?')} "
            f"(SHA-256 {dataset.get('source_sha256', 'unknown')})."
        )
    if "steps" in provenance:
        lines.append(f"{counted(provenance['steps'], 'step')}.")
    first = primary.name if primary else ""
    compared = sorted(
        (name.removeprefix("tuned/") for name in metrics if name.startswith("tuned/")),
        key=lambda name: (name != first, name),
    )
    lines += [
        f"- {name}: {metrics[f'base/{name}']:.4g} before, {metrics[f'tuned/{name}']:.4g} after"
        for name in compared
        if f"base/{name}" in metrics
    ]
    return "\n\n".join(lines)


def _dataset(provenance: Mapping[str, Any]) -> Mapping[str, Any]:
    dataset: Mapping[str, Any] = provenance.get("dataset") or {}
    return dataset
