"""The wheel holds everything, under one spelling of the package's name."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("components", "pipelines")
DATA = ("*.yaml", "*.json", "*.j2", "*.css")
# Called with the folder of the unpacked wheel and the modules' names. An editable install maps the
# package's names by a finder of its own: that is taken away, or it would import the checkout.
IMPORT_ALL = """
import importlib, json, sys
folder, modules = sys.argv[1], json.loads(sys.argv[2])
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in str(finder).lower()]
sys.path.insert(0, folder)
strays = []
for name in modules:
    module = importlib.import_module(name)
    if not module.__file__.startswith(folder):
        strays.append((name, module.__file__))
print(json.dumps(strays))
"""


def sources() -> list[Path]:
    return sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


def in_wheel(path: Path) -> str:
    return f"kfp_llm_tuning/{path.relative_to(ROOT).as_posix()}"


def module_name(path: Path) -> str:
    parts = [*path.relative_to(ROOT).with_suffix("").parts]
    return ".".join(["kfp_llm_tuning", *(parts[:-1] if parts[-1] == "__init__" else parts)])


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the checkout; setuptools' own folders go to a temporary one."""
    folder = tmp_path_factory.mktemp("wheel")
    options = ["--build-base", str(folder / "build"), "egg_info", "--egg-base", str(folder)]
    command = [sys.executable, "setup.py", "--quiet", "build", *options]
    command += ["bdist_wheel", "--dist-dir", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def contents(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_every_module_is_in_the_wheel(contents: set[str]) -> None:
    assert [str(path) for path in sources() if in_wheel(path) not in contents] == []


def test_every_data_file_is_in_the_wheel(contents: set[str]) -> None:
    files = [path for folder in FOLDERS for kind in DATA for path in (ROOT / folder).rglob(kind)]
    assert files
    assert [str(path) for path in files if in_wheel(path) not in contents] == []


def test_nothing_else_is_in_the_wheel(contents: set[str]) -> None:
    tops = {name.partition("/")[0] for name in contents}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"kfp_llm_tuning"}
    # A package at the root would shadow other distributions of the namespace.
    assert "kfp_llm_tuning/__init__.py" not in contents


def test_every_module_is_imported_from_the_wheel(wheel: Path, tmp_path: Path) -> None:
    unpacked, elsewhere = tmp_path / "unpacked", tmp_path / "elsewhere"
    elsewhere.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(unpacked)
    names = [module_name(path) for path in sources() if path.name != "__main__.py"]
    result = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, str(unpacked), json.dumps(names)],
        cwd=elsewhere,
        env={**os.environ, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == []


@pytest.mark.parametrize("path", sources(), ids=in_wheel)
def test_one_spelling_of_every_import(path: Path) -> None:
    imported: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            imported.append(node.module or "")
    assert [name for name in imported if name.partition(".")[0] in FOLDERS] == []
