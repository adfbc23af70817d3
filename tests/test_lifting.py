"""Every component can be lifted out: imported alone, read from YAML, put into other pipelines."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import compiler, dsl
from kfp.components import load_component_from_file
from kfp.dsl.base_component import BaseComponent

from kfp_llm_tuning.components import __version__
from kfp_llm_tuning.components.common.images import IMAGE
from kfp_llm_tuning.pipelines.compiling.component_list import components_of, import_path, stages
from tests.pipelines.spec_references import broken_references, parse_strictly

COMPILED = Path(__file__).parents[1] / "compiled" / "components"
COMPONENTS = {name: component for stage in stages() for name, component in components_of(stage)}
# What runs models, talks to clouds or keeps a registry.
HEAVY = {"torch", "transformers", "datasets", "mlflow", "pyarrow", "pandas", "fsspec"} | {
    "google.cloud.aiplatform",
    "google.cloud.storage",
}
# A value of each type, for inputs that must be given.
VALUES = {"String": "text", "Integer": 1, "Float": 1.0, "Boolean": True, "List": [], "Dict": {}}


@pytest.fixture(params=COMPONENTS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def read(name: str) -> BaseComponent:
    return load_component_from_file(str(COMPILED / f"{name}.yaml"))


def interface(component: BaseComponent) -> dict[str, Any]:
    specification = component.component_spec
    return {
        kind: {
            key: (value.type, getattr(value, "default", None), getattr(value, "optional", None))
            for key, value in (getattr(specification, kind) or {}).items()
        }
        for kind in ("inputs", "outputs")
    }


def strangers_pipeline(component: BaseComponent) -> BaseComponent:
    """A pipeline of one's own, with nothing of ours but the component."""

    @dsl.pipeline(name="stranger")
    def pipeline() -> None:
        arguments = {}
        for key, value in (component.component_spec.inputs or {}).items():
            if value.optional:
                continue
            if "@" in value.type:
                kind = getattr(dsl, value.type.removeprefix("system.").partition("@")[0])
                imported = dsl.importer(artifact_uri="gs://bucket/thing", artifact_class=kind)
                arguments[key] = imported.output
            else:
                arguments[key] = VALUES[value.type]
        component(**arguments)

    return pipeline


def test_importing_every_component_loads_nothing_heavy() -> None:
    paths = [import_path(component) for component in COMPONENTS.values()]
    program = (
        "import importlib, json, sys\n"
        "import kfp_llm_tuning.components\n"
        "assert kfp_llm_tuning.components.__version__\n"
        "light = set(sys.modules)\n"
        f"for module, name in {paths!r}:\n"
        "    getattr(importlib.import_module(module), name)\n"
        "assert not any(name.startswith('kfp.') for name in light)\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert HEAVY & set(json.loads(done.stdout)) == set()


def test_the_import_that_the_readme_names(name: str) -> None:
    module, function = import_path(COMPONENTS[name])
    assert getattr(importlib.import_module(module), function) is COMPONENTS[name]
    short = module.count(".") == 2
    assert short or name.endswith("-vertex")


def test_what_is_read_from_yaml_is_what_is_imported(name: str) -> None:
    assert interface(read(name)) == interface(COMPONENTS[name])
    first = COMPONENTS[name].description.splitlines()[0]
    assert read(name).description.splitlines()[0] == first


def test_the_yaml_says_its_version(name: str) -> None:
    text = (COMPILED / f"{name}.yaml").read_text(encoding="utf-8")
    header = [line for line in text.splitlines() if line.startswith("#")]
    assert header[-1] == f"# Version: kfp-llm-tuning {__version__}"
    (executor,) = yaml.load(text, Loader=yaml.CSafeLoader)["deploymentSpec"]["executors"].values()
    assert executor["container"]["image"] == IMAGE
    assert IMAGE.endswith(f":{__version__}")


@pytest.mark.parametrize("way", ["imported", "read"])
def test_a_strangers_pipeline_compiles(name: str, way: str, tmp_path: Path) -> None:
    component = read(name) if way == "read" else COMPONENTS[name]
    path = tmp_path / "pipeline.yaml"
    compiler.Compiler().compile(strangers_pipeline(component), str(path))
    spec = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    parse_strictly(spec)
    assert broken_references(spec) == []
