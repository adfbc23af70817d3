"""What the components import that is dear and that several tasks of a run need.

Imported before a task's process is forked (``task_server.py``), it costs a run once. What is not
here a task imports itself: the table is about time alone. Each module is one that starts no thread
as it is imported (a test counts them).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

_EVERY_TASK = (
    "kfp.dsl.executor_main",
    "kfp_llm_tuning.components.common.documents",
    "jsonschema",
)
_ROWS = (
    "kfp_llm_tuning.components.data.reading.scan",
    "kfp_llm_tuning.components.dataset.stages",
    "transformers.utils.chat_template_utils",
)
_CHARTS = ("kfp_llm_tuning.components.common.charts",)
_MLFLOW = ("mlflow", "mlflow.store.tracking.sqlalchemy_store")
_BY_COMPONENT: Mapping[str, Sequence[str]] = {
    "validate_dataset": (
        "kfp_llm_tuning.components.validation.task",
        "transformers.models.auto.auto_mappings",
        *_ROWS,
        *_CHARTS,
    ),
    "preprocess_dataset": _ROWS,
    "dataset_encoder": (*_ROWS, "datasets"),
    "evaluation_dataset_encoder": (*_ROWS, "datasets"),
    "large_language_model_tuner": _MLFLOW,
    "evaluate_model": ("kfp_llm_tuning.components.evaluation.evaluate", *_CHARTS),
    "upload_llm_model": _MLFLOW,
    "create_endpoint_and_deploy_model": _MLFLOW,
}
_PREDICTION = (
    "kfp_llm_tuning.components.evaluation.prediction_command",
    "kfp_llm_tuning.components.generation.transformers_engine",
    "transformers.models.llama.modeling_llama",
)
_WITH_TORCH: Mapping[str, Sequence[str]] = {
    "large_language_model_tuner": (
        "kfp_llm_tuning.components.tuning.session",
        "kfp_llm_tuning.components.tuning.live_tracking",
        "kfp_llm_tuning.components.tuning.tune",
    ),
    "batch_predict": _PREDICTION,
}

# Of NVIDIA, AMD, Google's and others' accelerators, and of NVIDIA below Windows.
_ACCELERATORS = ("nvidiactl", "kfd", "accel", "accel0", "vfio/0", "dxg")


def shared_imports(component: str, devices: Path = Path("/dev")) -> Sequence[str]:
    """Lists the modules that are imported before a task's process is forked.

    Args:
        component: The name of the component's function.
        devices: Where the system shows its devices. With an accelerator among them torch is left
            to the tasks: a library that asks for its driver while it is imported would leave it
            unusable in every process that is forked later.

    Returns:
        Their names; what every task needs alone for a component that is none of ours.
    """
    modules = (*_EVERY_TASK, *_BY_COMPONENT.get(component, ()))
    if any((devices / name).exists() for name in _ACCELERATORS):
        return modules
    return (*modules, *_WITH_TORCH.get(component, ()))
