"""The wheel holds everything, under one spelling of its name, and works without its extras."""

from __future__ import annotations

import ast
import email
import json
import os
import subprocess
import sys
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from kfp_llm_tuning.components.common.platforms import JOB_PLATFORM_NAMES
from kfp_llm_tuning.components.parameters.pipeline import TEMPLATES
from kfp_llm_tuning.pipelines.cli import SUBCOMMANDS
from kfp_llm_tuning.pipelines.compiling.component_list import components_of, stages
from tests.plain_install import ImportGraph, lacking_modules, modules_of, requirements

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
# What stands before a program in this environment, to make a plain install of it: called with the
# folder of the unpacked wheel and a file that lists the modules that a plain install lacks.
PLAIN = """
import importlib.abc, json, pathlib, sys
folder, lacking = sys.argv.pop(1), frozenset(json.loads(pathlib.Path(sys.argv.pop(1)).read_text()))
class Lacking(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in lacking:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in str(finder).lower()]
sys.meta_path.insert(0, Lacking())
sys.path.insert(0, folder)
"""
# Called with the modules' names: what each that cannot be imported lacks.
FIND_MISSING = """
import importlib, json, sys
missing = {}
for name in json.loads(sys.argv[1]):
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing[name] = error.name
    except ImportError as error:  # `from google.cloud import aiplatform_v1`
        missing[name] = error.msg
print(json.dumps(missing))
"""
# Called with a folder of components: reads each.
LOAD_COMPONENTS = """
import pathlib, sys
from kfp.components import load_component_from_file
paths = pathlib.Path(sys.argv[1]).glob("*.yaml")
print(sum(bool(load_component_from_file(str(path)).name) for path in paths))
"""
COMMAND = "from kfp_llm_tuning.pipelines.cli import main\nmain()"


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
    files = {module_name(path): path for path in sources() if path.name != "__main__.py"}
    graph = ImportGraph(files)
    names = [name for name in files if not graph.needs_tpu(name)]
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


def test_one_spelling_of_every_import() -> None:
    strays = [
        f"{in_wheel(path)}, line {node.lineno}"
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if any(name.partition(".")[0] in ("", *FOLDERS) for name in _imported(node))
    ]
    assert strays == []


def _imported(node: ast.AST) -> list[str]:
    """Names the modules of an import; a relative one begins with a dot."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return ["." * node.level + (node.module or "")]
    return []


@dataclass(frozen=True)
class Install:
    """An environment in which the wheel is installed without an extra."""

    command: tuple[str, ...]
    preamble: str = ""
    arguments: tuple[str, ...] = ()

    def call(self, program: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.command, "-c", self.preamble + program, *self.arguments, *arguments],
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": ""},
            capture_output=True,
            text=True,
            check=False,
        )

    def run(self, program: str, *arguments: str, cwd: Path) -> str:
        done = self.call(program, *arguments, cwd=cwd)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def requires(wheel: Path) -> list[str]:
    """The wheel's ``Requires-Dist`` lines."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        message = email.message_from_bytes(archive.read(name))
    return message.get_all("Requires-Dist") or []


@pytest.fixture(scope="module", params=["hidden", pytest.param("absent", marks=pytest.mark.slow)])
def plain(
    request: pytest.FixtureRequest,
    wheel: Path,
    requires: list[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Install:
    """A plain install: this environment without what the extras bring, or an environment anew."""
    folder = tmp_path_factory.mktemp("plain")
    if request.param == "absent":
        venv.create(folder, with_pip=True)
        python = str(folder / "bin" / "python")
        constraints = ["--constraint", str(ROOT / "constraints.txt")]
        install = [python, "-m", "pip", "install", "--quiet", *constraints, str(wheel)]
        subprocess.run(install, check=True, timeout=540)
        return Install((python,))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "unpacked")
    lacking = folder / "lacking.json"
    lacking.write_text(json.dumps(sorted(lacking_modules(requires))))
    return Install((sys.executable,), PLAIN, (str(folder / "unpacked"), str(lacking)))


def test_a_plain_install_lacks_only_what_an_extra_brings(
    plain: Install, requires: list[str], contents: set[str], tmp_path: Path
) -> None:
    packed = [path for path in sources() if in_wheel(path) in contents]
    files = {module_name(path): path for path in packed if path.name != "__main__.py"}
    every = ImportGraph(files)
    files = {name: path for name, path in files.items() if not every.needs_tpu(name)}
    missing = json.loads(plain.run(FIND_MISSING, json.dumps(list(files)), cwd=tmp_path))
    lacking, graph = lacking_modules(requires), ImportGraph(files)
    assert {"torch", "mlflow", "fastapi", "google.cloud.aiplatform"} <= lacking
    expected = {name for name in files if graph.foreign(name) & lacking}
    assert sorted(missing) == sorted(expected)
    extras = {"tuning", "serving", "vertex", "kubeflow"}
    brought = modules_of(requirements(requires, frozenset(extras)))
    assert {one for name in expected for one in graph.foreign(name) & lacking} <= brought
    # What compiles, checks and submits needs no extra, nor does any component's interface.
    for name in missing:
        assert not name.startswith("kfp_llm_tuning.pipelines."), missing[name]
        assert not name.startswith("kfp_llm_tuning.components.validation"), missing[name]
        assert not name.endswith("component"), missing[name]


def test_a_plain_install_compiles_everything(plain: Install, tmp_path: Path) -> None:
    printed = plain.run(COMMAND, "compile", "--output", "compiled", cwd=tmp_path)
    assert len(printed.splitlines()) == len(list((tmp_path / "compiled").glob("*/*.yaml")))
    for platform in JOB_PLATFORM_NAMES:
        assert {f"{name}.yaml" for name in TEMPLATES} <= {
            path.name for path in (tmp_path / "compiled" / platform).iterdir()
        }
    loaded = plain.run(LOAD_COMPONENTS, "compiled/components", cwd=tmp_path)
    assert int(loaded) == sum(1 for stage in stages() for _ in components_of(stage))


def test_a_plain_install_has_the_command(plain: Install, tmp_path: Path) -> None:
    assert "Usage:" in plain.run(COMMAND, "--help", cwd=tmp_path)
    for name in SUBCOMMANDS:
        assert "Usage:" in plain.run(COMMAND, name, "--help", cwd=tmp_path)


def test_a_plain_install_says_what_running_needs(plain: Install, tmp_path: Path) -> None:
    done = plain.call(COMMAND, "run", "--dataset-uri", "train.jsonl", cwd=tmp_path)
    assert done.returncode == 1
    assert "pip install 'kfp-llm-tuning[tuning]'" in done.stderr
    assert not (tmp_path / "runs").exists()
