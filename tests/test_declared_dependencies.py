"""What is imported is declared in setup.py, what is declared is used, and tested versions fit."""

from __future__ import annotations

import runpy
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import setuptools
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.import_graph import ROOT, imported_names
from tests.plain_install import modules_of

OURS = {"benchmarks", "kfp_llm_tuning", "tests"}
# Benchmarks import one another from their own folder, and their tests do so too.
SCRIPTS = {path.stem for path in (ROOT / "benchmarks").glob("*.py")}
# What a folder's code runs with, besides the core.
USERS = ("tuning", "4bit", "wandb", "vertex", "kubeflow")
FOLDERS = {
    "components/tuning/jax_engine": ("tpu",),
    "components/serving": ("serving", "serving-gpu"),
    "components/generation": ("serving", "serving-gpu"),
    "components/models": ("serving",),
    "components/data/rendering": ("serving",),
    "components": (*USERS, "serving", "serving-gpu", "tpu"),
    "pipelines": USERS,
    "examples": USERS,
    "benchmarks": (*USERS, "serving", "serving-gpu", "tpu", "bench"),
    "tests": (*USERS, "serving", "tpu", "dev"),
}
# Imported by name nowhere in the package, and needed all the same.
NOT_IMPORTED = {
    "bitsandbytes": "transformers and PEFT hold weights in 4 bits by it",
    "boto3": "MLflow's artifacts in S3",
    "gcsfs": "fsspec opens gs:// by it",
    "ipykernel": "notebooks are executed by it",
    "liger-kernel": "transformers applies its kernels",
    "nvidia-ml-py": "MLflow's metrics of GPUs",
    "s3fs": "fsspec opens s3:// by it",
}
# vLLM and JAX have environments of their own; what benchmarks compare with comes with `make bench`.
NOT_INSTALLED = {
    "flax": "flax",
    "google-tunix": "tunix",
    "jax": "jax",
    "liger-kernel": "liger-kernel",
    "optax": "optax",
    "trl": "trl",
    "vllm": "vllm",
}
# The image of the tuner on TPUs has them by themselves, whoever imports them.
OF_TPU = {"flax", "google-tunix", "jax", "optax"}
# Of dev: commands and plugins; and what is put into a venv by make alone.
PLUGINS = {"gguf", "pytest-cov", "pytest-timeout", "pytest-xdist", "types-pyyaml"}
TOOLS = {"build", "mypy", "ruff"} | PLUGINS
# Extras that the one environment of constraints.txt has, or could have.
EVERYWHERE = (*USERS, "gpu", "serving", "bench", "dev")
BY_MAKE = {"gcp_storage_emulator"}


@cache
def declared() -> dict[str, tuple[Requirement, ...]]:
    """Reads setup.py: the requirements of the core, under the empty name, and of each extra."""
    given: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(setuptools, "setup", lambda **arguments: given.update(arguments))
        patch.chdir(ROOT)
        runpy.run_path(str(ROOT / "setup.py"))
    groups = {"": given["install_requires"], **given["extras_require"]}
    return {name: tuple(map(Requirement, lines)) for name, lines in groups.items()}


@cache
def brought(extras: tuple[str, ...]) -> set[str]:
    """Names the modules of what is declared itself; what that requires in turn does not count."""
    names = {one.name for extra in ("", *extras) for one in declared()[extra]}
    return {module for name in names for module in brought_by(name)}


@cache
def brought_by(distribution: str) -> set[str]:
    """Names a distribution's modules, as installed; of those that are not here the names tell."""
    module = NOT_INSTALLED.get(distribution)
    return {module} if module else modules_of([distribution])


def imported(path: Path) -> set[str]:
    """Names what a file imports of others, to the depth at which distributions are told apart."""
    beside = {other.stem for other in path.parent.glob("*.py")}
    not_others = sys.stdlib_module_names | OURS | SCRIPTS | BY_MAKE | beside
    return {
        _short(name) for name in imported_names(path) if name.partition(".")[0] not in not_others
    }


def _short(name: str) -> str:
    return ".".join(name.split(".")[:4])


def is_brought(name: str, modules: set[str]) -> bool:
    """Tells whether an imported module, or the module of an imported name, is among modules."""
    # Many distributions have a part of the package `google`.
    parents = {name.rpartition(".")[0], name.partition(".")[0]} - {"google"}
    return name in modules or bool(parents & modules)


@pytest.mark.parametrize("folder", FOLDERS)
def test_what_is_imported_is_declared(folder: str) -> None:
    modules = brought(FOLDERS[folder])
    undeclared = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in (ROOT / folder).rglob("*.py")
        for name in imported(path)
        if not is_brought(name, modules)
    }
    assert sorted(undeclared) == []


def test_what_is_declared_is_imported() -> None:
    package = _imported_in("components", "pipelines")
    everywhere = package | _imported_in("benchmarks", "tests")
    unused = {
        canonicalize_name(one.name)
        for extra, requirements in declared().items()
        for one in requirements
        if not _is_used(one.name, everywhere if extra in ("bench", "dev") else package)
    }
    assert unused - OF_TPU == set(NOT_IMPORTED) | TOOLS


def _imported_in(*folders: str) -> set[str]:
    return {
        name for one in folders for path in (ROOT / one).rglob("*.py") for name in imported(path)
    }


def _is_used(distribution: str, names: set[str]) -> bool:
    modules = brought_by(distribution)
    return any(is_brought(name, modules) for name in names)


@pytest.mark.parametrize(
    ("file", "extras"),
    [
        ("constraints.txt", set(EVERYWHERE)),
        ("constraints-vllm.txt", {"serving", "serving-gpu"}),
        ("constraints-tpu.txt", {"tpu", "wandb", "vertex", "kubeflow"}),
    ],
)
def test_tested_versions_are_in_the_declared_ranges(file: str, extras: set[str]) -> None:
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    tested = {canonicalize_name(pin.name): next(iter(pin.specifier)).version for pin in pins}
    # Make brings these before it reads a file of versions.
    by_make = {"setuptools"}
    asked = [one for extra in ("", *extras) for one in declared()[extra]]
    for one in (one for one in asked if one.name not in by_make):
        assert one.specifier.contains(tested[canonicalize_name(one.name)]), one
