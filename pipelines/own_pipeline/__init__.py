"""A pipeline of one's own as a program that runs, compiles and submits it."""

from __future__ import annotations

from kfp_llm_tuning.components.common.lazy import lazy_exports

__getattr__ = lazy_exports(__name__, {"pipeline_command": ".command"})
