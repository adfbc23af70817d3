"""The container file as it is written; building it needs a container engine and a network."""

from __future__ import annotations

import fnmatch
import os
import re
import shlex
import sys
from importlib.metadata import requires
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from packaging.requirements import Requirement

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.common.images import (
    IMAGE,
    REGISTRY,
    SERVING_GPU_IMAGE,
    SERVING_IMAGE,
    image_name,
)
from kfp_llm_tuning.components.tuning.engine import ENGINE_VARIABLE, JAX

ROOT = Path(__file__).parents[2]
FILE = ROOT / "images" / "Containerfile"
KINDS = ["python", "gpu", "tpu", "serving", "serving-gpu"]
SERVING = ["serving", "serving-gpu"]

Instruction = tuple[str, str]


def instructions() -> list[Instruction]:
    """Reads the container file: (instruction, its arguments in one line)."""
    lines = FILE.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if line.strip() and not line.startswith("#")]
    joined = re.sub(r"\s*\\\n\s*", " ", "\n".join(kept))
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in joined.splitlines()]


def stages() -> dict[str, tuple[str, list[Instruction]]]:
    """Cuts it at its FROM lines: (what a stage builds on, its instructions) by name."""
    found: dict[str, tuple[str, list[Instruction]]] = {}
    for name, text in instructions():
        if name == "FROM":
            base, _, stage = text.partition(" AS ")
            found[stage] = (base, [])
        elif found:
            list(found.values())[-1][1].append((name, text))
    return found


def target(kind: str) -> list[Instruction]:
    """Tells all instructions of an image, those of the stages that it builds on first."""
    base, own = stages()[kind]
    return [*(target(base) if base in stages() else []), *own]


def variables(kind: str) -> dict[str, str]:
    """Tells an image's environment."""
    values: dict[str, str] = {}
    for name, text in target(kind):
        if name == "ENV":
            for word in text.split():
                variable, _, value = word.partition("=")
                values[variable] = value.replace(f"${variable}", values.get(variable, ""))
    return values


def versions(name: str) -> dict[str, str]:
    """Reads a file of versions, by package."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {re.sub(r"[-_.]+", "-", package).lower(): version for package, version in pairs}


def test_there_is_an_image_for_every_name(build: ModuleType) -> None:
    assert list(build.IMAGES) == KINDS == [stage for stage in stages() if stage != "build"]
    assert image_name("python") == IMAGE
    assert image_name("serving") == SERVING_IMAGE
    assert image_name("serving-gpu") == SERVING_GPU_IMAGE
    assert IMAGE.startswith(f"{REGISTRY}/kfp-llm-tuning-python:")


def test_the_base_is_pinned() -> None:
    name, text = instructions()[0]
    assert name == "ARG"
    assert re.fullmatch(r"PYTHON_IMAGE=python:3\.11\.\d+-slim-bookworm", text)
    bases = {stage: base for stage, (base, _) in stages().items()}
    assert bases == {
        "build": "${PYTHON_IMAGE}",
        "python": "${PYTHON_IMAGE}",
        "gpu": "python",
        "tpu": "python",
        "serving": "python",
        "serving-gpu": "gpu",
    }


def test_nothing_is_installed_outside_the_tested_versions() -> None:
    instructions = stages()["build"][1]
    assert ("ENV", "PIP_CONSTRAINT=/source/${CONSTRAINTS}") in [
        (name, text.split(" ")[0]) for name, text in instructions
    ]
    commands = [part for name, text in instructions if name == "RUN" for part in text.split(" && ")]
    installs = [shlex.split(command) for command in commands if "pip install" in command]
    assert len(installs) == 2
    for words in installs:
        assert words[words.index("--constraint") + 1] == "${CONSTRAINTS}"
    for kind in KINDS:
        assert not any("pip" in text for name, text in target(kind) if name == "RUN")


def test_what_is_served_on_gpus_differs_where_vllm_wants_it_alone() -> None:
    ours, vllm = versions("constraints.txt"), versions("constraints-vllm.txt")
    text = (ROOT / "constraints-vllm.txt").read_text(encoding="utf-8")
    told = set(re.findall(r"^#   (\S+)", text, re.MULTILINE))
    assert {name for name in ours if vllm.get(name, ours[name]) != ours[name]} == told
    assert "vllm" in vllm


def test_what_tunes_on_tpus_differs_where_its_head_says() -> None:
    ours, tpu = versions("constraints.txt"), versions("constraints-tpu.txt")
    text = (ROOT / "constraints-tpu.txt").read_text(encoding="utf-8")
    told = {name.replace("_", "-") for name in re.findall(r"^#   (\S+)", text, re.MULTILINE)}
    assert {name for name in ours if tpu.get(name, ours[name]) != ours[name]} == told
    assert {"jax", "libtpu", "google-tunix"} <= set(tpu)


def test_the_image_for_tpus_alone_names_its_engine() -> None:
    named = {kind: variables(kind).get(ENGINE_VARIABLE, "") for kind in KINDS}
    assert {kind: name for kind, name in named.items() if name} == {"tpu": JAX}


@pytest.mark.parametrize("kind", SERVING)
def test_the_versions_are_those_that_the_server_may_have(build: ModuleType, kind: str) -> None:
    pins = versions(build.IMAGES[kind].constraints)
    asked = [Requirement(text) for text in requires("kfp-llm-tuning") or []]
    for requirement in asked:
        if requirement.marker is None or requirement.marker.evaluate({"extra": "serving"}):
            name = re.sub(r"[-_.]+", "-", requirement.name).lower()
            assert requirement.specifier.contains(pins[name]), requirement


def test_what_changes_seldom_comes_first() -> None:
    instructions = stages()["build"][1]
    copies = [text.split() for name, text in instructions if name == "COPY"]
    assert [words[0] for words in copies] == ["constraints.txt", "components", "pipelines"]
    assert all((ROOT / source).exists() for words in copies for source in words[:-1])
    order = [name for name, _ in instructions if name in ("COPY", "RUN")]
    assert order == ["RUN", "COPY", "RUN", "COPY", "COPY", "RUN"]
    for kind in KINDS:
        changes = [(name, text) for name, text in target(kind) if name in ("COPY", "RUN")]
        assert changes[0][0] == "RUN"
        assert changes[1:] == [
            ("COPY", "--from=build /opt/venv /opt/venv"),
            ("COPY", "--from=build /package /opt/venv"),
        ]


@pytest.mark.parametrize("kind", KINDS)
def test_processes_are_not_root_and_may_write_where_they_must(kind: str) -> None:
    assert [text for name, text in target(kind) if name == "USER"] == ["10001:0"]
    (created,) = [text for name, text in target(kind) if name == "RUN"]
    assert "--uid 10001" in created
    assert "chmod -R g=u /home/tuner" in created
    values = variables(kind)
    assert values["HOME"] == "/home/tuner"
    assert values["HF_HOME"].startswith("/home/tuner/")
    assert "/opt/venv/bin" in values["PATH"].split(":")


@pytest.mark.parametrize("kind", KINDS)
def test_only_images_for_gpus_ask_for_them(kind: str) -> None:
    assert ("NVIDIA_VISIBLE_DEVICES" in variables(kind)) == ("gpu" in kind)


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_servers_have_a_command(kind: str) -> None:
    found = {name: text for name, text in target(kind) if name in ("CMD", "EXPOSE", "ENTRYPOINT")}
    # Without a shell around it, so that the server hears that it is to end.
    command = '["python", "-m", "kfp_llm_tuning.components.serving"]'
    assert found == ({"EXPOSE": "8080", "CMD": command} if kind in SERVING else {})


def test_only_what_is_copied_travels() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    texts = [text for name, text in stages()["build"][1] if name == "COPY"]
    copied = {source for text in texts for source in text.split()[:-1]}
    assert {rule[1:] for rule in rules if rule.startswith("!")} == copied
    assert any(fnmatch.fnmatch("components/__pycache__", rule) for rule in rules[1:])


def test_every_argument_is_one_of_the_container_file(build: ModuleType) -> None:
    declared = {text.partition("=")[0] for name, text in instructions() if name == "ARG"}
    environment = {"PYTHON_IMAGE": "a", "CPU_TORCH_INDEX": "b", "CUDA_TORCH_INDEX": "c"}
    given = {name for kind in KINDS for name in build.build_arguments(kind, environment)}
    assert given == declared


def test_cloud_build_makes_the_same_images(build: ModuleType) -> None:
    content = yaml.safe_load(FILE.with_name("cloudbuild.yaml").read_text(encoding="utf-8"))
    registry, _, tag = IMAGE.partition("/")
    version = tag.rpartition(":")[2]
    filled = [
        name.replace("${_REGISTRY}", registry).replace("${_VERSION}", version)
        for name in content["images"]
    ]
    assert filled == [image_name(kind) for kind in KINDS]
    assert [step["id"] for step in content["steps"]] == KINDS
    substituted = {name[1:]: f"${{{name}}}" for name in content["substitutions"]}
    for step, name in zip(content["steps"], content["images"], strict=True):
        arguments = build.build_arguments(step["id"], substituted)
        assert step["args"] == [
            "build",
            "--file=images/Containerfile",
            f"--target={step['id']}",
            f"--tag={name}",
            *(f"--build-arg={argument}={value}" for argument, value in arguments.items()),
            ".",
        ]


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
    names = {kind: image_name(kind, "registry.example/r") for kind in KINDS}
    options = {
        kind: " ".join(
            f"--build-arg={name}={value}"
            for name, value in build.build_arguments(kind, os.environ).items()
        )
        for kind in KINDS
    }
    assert options["serving"] == (
        "--build-arg=PYTHON_IMAGE=python@sha256:0 --build-arg=REQUIREMENTS=.[serving]"
        " --build-arg=CONSTRAINTS=constraints.txt --build-arg=TORCH_INDEX=cpu-builds"
    )
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls == [
        "info",
        *(
            f"build --file={FILE} --target={kind} --tag={name} {options[kind]} {ROOT}"
            for kind, name in names.items()
        ),
        *(f"push {name}" for name in names.values()),
    ]


def test_one_image_alone(
    build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_engines(tmp_path, monkeypatch, podman=f'echo "$@" >> {tmp_path}/calls')
    monkeypatch.setattr(sys, "argv", ["build.py", "registry.example/r", "serving"])
    build.main()
    calls = (tmp_path / "calls").read_text().splitlines()
    assert len(calls) == 2
    assert "--target=serving " in calls[1]


def test_an_unknown_image_is_a_mistake(
    build: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["build.py", "registry.example/r", "npu"])
    with pytest.raises(SystemExit) as stopped:
        build.main()
    assert stopped.value.code == 1
    assert "no image npu" in capsys.readouterr().err


def test_no_registry_is_a_mistake(
    build: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["build.py", ""])
    with pytest.raises(SystemExit) as stopped:
        build.main()
    assert stopped.value.code == 1
    assert "make images IMAGE_REGISTRY=" in capsys.readouterr().err
