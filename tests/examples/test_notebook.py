"""The notebook, executed as Jupyter does it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

EXAMPLES = Path(__file__).parents[2] / "examples"
NOTEBOOK = EXAMPLES / "tune.ipynb"
_SECONDS = 900
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def test_it_is_kept_without_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert not [cell for cell in notebook.cells if cell.get("outputs")]


@pytest.mark.slow
def test_it_runs_from_its_first_cell_to_its_last(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES / "support", tmp_path / "support")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=_SECONDS, resources=resources).execute()
    told = [_told(cell) for cell in notebook.cells if cell.cell_type == "code"]
    assert "  ✓ large-language-model-tuner" in told[1]
    assert "\x1b" not in told[1], "a notebook takes no line back"
    assert "models/support-router@1" in told[2]
    assert "exact_match" in told[3]
    assert "<iframe srcdoc=" in told[4]
    assert "kfp-llm-tuning serve support-router@1" in told[6]


def _told(cell: NotebookNode) -> str:
    """Gathers what a cell shows: what it prints, and its value as HTML or text."""
    shown = [
        output.get("text") or output["data"].get("text/html") or output["data"].get("text/plain")
        for output in cell.outputs
    ]
    return _COLOUR.sub("", "".join(map(str, shown)))
