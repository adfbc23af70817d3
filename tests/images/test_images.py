"""The container files as they are written; building them needs a container engine and a network."""

from __future__ import annotations

import fnmatch
import importlib.util
import re
import shlex
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.common.images import IMAGE, REGISTRY, image_name, tuner_image

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "images"
KINDS = sorted(path.parent.name for path in IMAGES.glob("*/Containerfile"))


def instructions(kind: str) -> list[tuple[str, str]]:
    """Reads a container file: (instruction, its arguments in one line)."""
    text = (IMAGES / kind / "Containerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    joined = re.sub(r"\s*\\\n\s*", " ", "\n".join(lines))
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in joined.splitlines()]


def stages(kind: str) -> list[list[tuple[str, str]]]:
    """Cuts a container file at its FROM lines; what stands before the first is left out."""
    found: list[list[tuple[str, str]]] = []
    for instruction in instructions(kind):
        if instruction[0] == "FROM":
            found.append([])
        if found:
            found[-1].append(instruction)
    return found


def test_there_is_a_file_for_every_image_that_exists() -> None:
    assert KINDS == ["gpu", "python"]
    assert image_name("python") == IMAGE == tuner_image("CPU")
    assert image_name("gpu") == tuner_image("GPU")
    assert IMAGE.startswith(f"{REGISTRY}/kfp-llm-tuning-python:")


@pytest.mark.parametrize("kind", KINDS)
def test_the_base_is_pinned(kind: str) -> None:
    (argument,) = [text for name, text in instructions(kind)[:1] if name == "ARG"]
    assert re.fullmatch(r"PYTHON_IMAGE=python:3\.11\.\d+-slim-bookworm", argument)
    bases = [text for name, text in instructions(kind) if name == "FROM"]
    assert bases == ["${PYTHON_IMAGE} AS build", "${PYTHON_IMAGE}"]


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_installed_outside_the_tested_versions(kind: str) -> None:
    build, final = stages(kind)
    assert ("ENV", "PIP_CONSTRAINT=/source/constraints.txt") in [
        (name, text.split(" ")[0]) for name, text in build
    ]
    commands = [part for name, text in build if name == "RUN" for part in text.split(" && ")]
    installs = [shlex.split(command) for command in commands if "pip install" in command]
    assert len(installs) == 2
    for words in installs:
        assert words[words.index("--constraint") + 1] == "constraints.txt"
    assert not any("pip" in text for name, text in final if name == "RUN")


@pytest.mark.parametrize("kind", KINDS)
def test_what_changes_seldom_comes_first(kind: str) -> None:
    build, final = stages(kind)
    copies = [text.split() for name, text in build if name == "COPY"]
    assert [words[0] for words in copies] == ["constraints.txt", "components", "pipelines"]
    assert all((ROOT / source).exists() for words in copies for source in words[:-1])
    order = [name for name, _ in build if name in ("COPY", "RUN")]
    assert order == ["RUN", "COPY", "RUN", "COPY", "COPY", "RUN"]
    assert [text for name, text in final if name == "COPY"] == [
        "--from=build /opt/venv /opt/venv",
        "--from=build /package /opt/venv",
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_processes_are_not_root_and_may_write_where_they_must(kind: str) -> None:
    final = stages(kind)[-1]
    assert final[-1] == ("USER", "10001:0")
    (created,) = [text for name, text in final if name == "RUN"]
    assert "--uid 10001" in created
    assert "chmod -R g=u /home/tuner" in created
    (variables,) = [text for name, text in final if name == "ENV"]
    values = dict(word.split("=", 1) for word in variables.split())
    assert values["HOME"] == "/home/tuner"
    assert values["HF_HOME"].startswith("/home/tuner/")
    assert values["PATH"].startswith("/opt/venv/bin:")
    assert not {name for name, _ in final} & {"ENTRYPOINT", "CMD"}


@pytest.mark.parametrize("kind", KINDS)
def test_only_what_is_copied_travels(kind: str) -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    copied = {
        source for name, text in stages(kind)[0] if name == "COPY" for source in text.split()[:-1]
    }
    assert {rule[1:] for rule in rules if rule.startswith("!")} == copied
    assert any(fnmatch.fnmatch("components/__pycache__", rule) for rule in rules[1:])


def test_cloud_build_makes_the_same_images() -> None:
    content = yaml.safe_load((IMAGES / "cloudbuild.yaml").read_text(encoding="utf-8"))
    registry, _, tag = IMAGE.partition("/")
    version = tag.rpartition(":")[2]
    filled = [
        name.replace("${_REGISTRY}", registry).replace("${_VERSION}", version)
        for name in content["images"]
    ]
    assert sorted(filled) == sorted(image_name(kind) for kind in KINDS)
    for step, name in zip(content["steps"], content["images"], strict=True):
        assert f"--file=images/{step['id']}/Containerfile" in step["args"]
        assert f"--tag={name}" in step["args"]


@pytest.fixture(scope="module")
def build() -> ModuleType:
    """images/build.py, which is no part of the package."""
    spec = importlib.util.spec_from_file_location("build_images", IMAGES / "build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def fake_engines(folder: Path, monkeypatch: pytest.MonkeyPatch, **scripts: str) -> None:
    """Makes these the only programs that are found."""
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def test_an_engine_that_does_not_answer_is_passed_over(
    build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_engines(tmp_path, monkeypatch, docker="exit 1", buildah="exit 0")
    assert build.find_engine() == "buildah"


def test_without_an_engine_it_says_what_to_do(
    build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_engines(tmp_path, monkeypatch)
    with pytest.raises(UserError, match="no container engine works here.*cloudbuild.yaml"):
        build.find_engine()


def test_every_image_is_built_then_pushed(
    build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_engines(tmp_path, monkeypatch, podman=f'echo "$@" >> {tmp_path}/calls')
    monkeypatch.setenv("PYTHON_IMAGE", "python@sha256:0")
    monkeypatch.setenv("CPU_TORCH_INDEX", "cpu-builds")
    monkeypatch.setattr(sys, "argv", ["build.py", "registry.example/r", "--push"])
    build.main()
    cpu = {"python": " --build-arg=CPU_TORCH_INDEX=cpu-builds", "gpu": ""}
    names = {kind: image_name(kind, "registry.example/r") for kind in KINDS}
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls == [
        "info",
        *(
            f"build --file={IMAGES}/{kind}/Containerfile --tag={name}"
            f" --build-arg=PYTHON_IMAGE=python@sha256:0{cpu[kind]} {ROOT}"
            for kind, name in names.items()
        ),
        *(f"push {name}" for name in names.values()),
    ]


def test_no_registry_is_a_mistake(
    build: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["build.py", ""])
    with pytest.raises(SystemExit) as stopped:
        build.main()
    assert stopped.value.code == 1
    assert "make images IMAGE_REGISTRY=" in capsys.readouterr().err
