"""Where tuned models are registered: MLflow or the Vertex AI Model Registry."""

from __future__ import annotations

from kfp_llm_tuning.components.common.lazy import lazy_exports

__getattr__ = lazy_exports(
    __name__, {"deployed_version": ".registry", "MlflowRegistry": ".registry"}
)
