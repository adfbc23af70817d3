"""Batch prediction, metrics, the comparison report and the gate."""

from kfp_llm_tuning.components.common.lazy import lazy_exports

__getattr__ = lazy_exports(
    __name__,
    {
        "batch_predict": ".component",
        "evaluate_model": ".component",
        "prediction_resources": ".component",
    },
)
