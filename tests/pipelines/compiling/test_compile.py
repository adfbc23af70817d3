"""What is checked in below compiled/: current, complete, and without a loose end."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from kfp.components import load_component_from_file

from kfp_llm_tuning.components.common.images import IMAGE, REGISTRY
from kfp_llm_tuning.components.common.platforms import JOB_PLATFORM_NAMES
from kfp_llm_tuning.components.parameters.pipeline import TEMPLATES
from kfp_llm_tuning.pipelines.commands.compile import compile as compile_command
from kfp_llm_tuning.pipelines.compiling.compiled_files import (
    PlatformOptions,
    compile_template,
    write_all,
)
from kfp_llm_tuning.pipelines.compiling.component_list import components_of, stages
from tests.pipelines.spec_references import broken_references, parse_strictly

COMPILED = Path(__file__).parents[3] / "compiled"
TEMPLATE_FILES = [
    COMPILED / platform / f"{template}{ending}.yaml"
    for platform in JOB_PLATFORM_NAMES
    for ending in PlatformOptions().variants(platform)
    for template in TEMPLATES
]
COMPONENT_NAMES = [name for stage in stages() for name, _ in components_of(stage)]


@pytest.fixture(scope="module")
def recompiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compiled")
    assert write_all(folder, list(JOB_PLATFORM_NAMES), REGISTRY)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.yaml")}


def test_what_is_checked_in_is_what_compiling_gives(recompiled: Path) -> None:
    checked_in, now = contents(COMPILED), contents(recompiled)
    assert len(now) == len(TEMPLATE_FILES) + len(COMPONENT_NAMES)
    assert sorted(checked_in) == sorted(now), "run `make compile`"
    assert [name for name in now if checked_in[name] != now[name]] == [], "run `make compile`"


def test_every_component_has_a_file() -> None:
    assert len(COMPONENT_NAMES) >= 14
    for name in COMPONENT_NAMES:
        component = load_component_from_file(str(COMPILED / "components" / f"{name}.yaml"))
        assert component.component_spec.description, name


@pytest.mark.parametrize("path", TEMPLATE_FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_name_in_a_template_stands_for_something(path: Path) -> None:
    # Of Kubeflow's second document tests/pipelines/kubeflow knows more.
    spec, *_ = yaml.load_all(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    parse_strictly(spec)
    assert broken_references(spec) == []


def test_a_missing_component_is_noticed() -> None:
    spec = compile_template("tune-large-model")
    del spec["components"]["comp-tensorboard-uploader"]
    assert any("calls no component" in text for text in broken_references(spec))


def test_a_renamed_output_is_noticed() -> None:
    spec = compile_template("tune-large-model")
    outputs = spec["components"]["comp-validate-pipeline"]["outputDefinitions"]["parameters"]
    outputs["usetpu"] = outputs.pop("use_tpu")
    assert any("use_tpu comes from nowhere" in text for text in broken_references(spec))


def test_the_registry_takes_the_place_of_the_placeholder() -> None:
    spec = compile_template("tune-large-model", image_registry="registry.test/team")
    assert REGISTRY not in str(spec)
    executors = spec["deploymentSpec"]["executors"].values()
    images = {executor["container"]["image"] for executor in executors}
    assert images == {IMAGE.replace(REGISTRY, "registry.test/team")}


def test_the_command_writes_and_takes_away(tmp_path: Path) -> None:
    stale = tmp_path / "components" / "gone.yaml"
    stale.parent.mkdir()
    stale.write_text("")
    result = CliRunner().invoke(
        compile_command, ["--platform", "vertex", "--output", str(tmp_path)]
    )
    assert result.exit_code == 0, result.output
    assert "--image-registry" in result.output
    assert not stale.exists()
    assert (tmp_path / "vertex" / "tune-large-model.yaml").is_file()
