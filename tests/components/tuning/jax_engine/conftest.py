"""Without JAX what needs it is not collected: `make test-tpu` makes an environment that has it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

collect_ignore = [
    path.name
    for path in Path(__file__).parent.glob("test_*.py")
    if "pytest.mark.tpu" in path.read_text(encoding="utf-8")
    and importlib.util.find_spec("jax") is None
]
