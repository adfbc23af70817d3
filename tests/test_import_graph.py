"""The folders stand in their order: what is below knows nothing of what is above."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.import_graph import (
    LAYERS,
    Graph,
    backward,
    between_folders,
    circles,
    module_imports,
    report,
)


@pytest.fixture(scope="module")
def folders() -> Graph:
    return between_folders(module_imports())


def test_every_folder_has_its_place(folders: Graph) -> None:
    assert set(folders) == {folder for layer in LAYERS for folder in layer}


def test_no_folder_imports_from_its_own_line_or_above(folders: Graph) -> None:
    assert backward(folders) == []


def test_no_folders_import_each_other(folders: Graph) -> None:
    assert circles(folders) == []


def test_no_modules_import_each_other() -> None:
    assert circles(module_imports()) == []


def test_what_goes_against_the_order_is_found(tmp_path: Path) -> None:
    files = {
        "components/common/errors.py": "def late():\n    import kfp_llm_tuning.pipelines.cli",
        "components/tuning/tune.py": "from kfp_llm_tuning.components.upload import registry",
        "components/upload/__init__.py": "import kfp_llm_tuning.components.common.errors",
        "components/upload/registry.py": "from kfp_llm_tuning.components.tuning.tune import tune",
        "pipelines/cli.py": "import kfp_llm_tuning.components.tuning.tune",
        "pipelines/new/module.py": "import json",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = between_folders(module_imports(tmp_path))
    assert backward(found) == [
        "components.common -> pipelines",
        "components.tuning -> components.upload",
        "components.upload -> components.tuning",
    ]
    knot = ["components.common", "components.tuning", "components.upload", "pipelines"]
    assert circles(found) == [knot]
    assert f"circles 1: {', '.join(knot)}" in "\n".join(report(tmp_path))
