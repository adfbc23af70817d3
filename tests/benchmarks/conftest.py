"""Benchmarks are scripts that import one another from their own folder."""

from __future__ import annotations

import sys

from tests.import_graph import ROOT

sys.path.append(str(ROOT / "benchmarks"))
