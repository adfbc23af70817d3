"""What the components import that is dear and that several tasks of a run need.

Imported before a task's process is forked (``task_server.py``), it costs a run once. What is not
here a task imports itself: the table is about time alone. torch is not here: the tuner and each
prediction need it in a process that may talk to a driver, and a driver does not survive a fork.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_ROWS = (
    "kfp_llm_tuning.components.data.reading.scan",
    "kfp_llm_tuning.components.dataset.stages",
    "transformers.utils.chat_template_utils",
)
_CHARTS = ("kfp_llm_tuning.components.common.charts",)
_MLFLOW = ("mlflow", "mlflow.store.tracking.sqlalchemy_store")
_BY_COMPONENT: Mapping[str, Sequence[str]] = {
    "validate_dataset": ("kfp_llm_tuning.components.validation.task", *_ROWS, *_CHARTS),
    "preprocess_dataset": _ROWS,
    "dataset_encoder": (*_ROWS, "datasets"),
    "evaluation_dataset_encoder": (*_ROWS, "datasets"),
    "large_language_model_tuner": _MLFLOW,
    "evaluate_model": ("kfp_llm_tuning.components.evaluation.evaluate", *_CHARTS),
    "upload_llm_model": _MLFLOW,
    "create_endpoint_and_deploy_model": _MLFLOW,
}


def shared_imports(component: str) -> Sequence[str]:
    """Lists the modules that are imported before a task's process is forked.

    Args:
        component: The name of the component's function.

    Returns:
        Their names; none for a component that is none of ours.
    """
    return _BY_COMPONENT.get(component, ())
