"""Without vLLM there is nothing to test here: `make test-vllm` makes an environment that has it."""

from __future__ import annotations

import importlib.util

collect_ignore = [] if importlib.util.find_spec("vllm") else ["test_vllm_engine.py"]
