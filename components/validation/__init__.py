"""Validation: the pipeline's parameters and the dataset's rows, before anything is spent."""

from __future__ import annotations

from kfp_llm_tuning.components.common.lazy import lazy_exports

__getattr__ = lazy_exports(
    __name__,
    {"validate_dataset": ".component", "validate_pipeline": ".pipeline_component"},
)
