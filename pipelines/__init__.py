"""Pipelines composed from the components, the command that runs them, and the call ``tune``."""

from __future__ import annotations

from kfp_llm_tuning.components.common.lazy import lazy_exports

__getattr__ = lazy_exports(
    __name__, {"tune": ".python_call.tuning", "TunedRun": ".python_call.tuned_run"}
)
