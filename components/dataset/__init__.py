"""Datasets: export of managed ones, prompt/completion records, and encoding to tokens."""

from __future__ import annotations

from kfp_llm_tuning.components.common.lazy import lazy_exports

__getattr__ = lazy_exports(
    __name__,
    {
        "dataset_encoder": ".component",
        "evaluation_dataset_encoder": ".component",
        "export_managed_dataset": ".component",
        "preprocess_dataset": ".component",
    },
)
