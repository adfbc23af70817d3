"""Every example compiles for every platform, without a loose end."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from kfp_llm_tuning.components.common.platforms import JOB_PLATFORM_NAMES
from tests.examples.conftest import EXAMPLES
from tests.pipelines.spec_references import broken_references, parse_strictly

NAMES = sorted(path.stem for path in EXAMPLES.glob("*.py"))


def test_every_example_has_a_test() -> None:
    assert NAMES == ["champion_challenger", "mlops", "recurring", "sweep"]
    for name in NAMES:
        assert (Path(__file__).parent / f"test_{name}.py").is_file()


@pytest.mark.parametrize("platform", JOB_PLATFORM_NAMES)
@pytest.mark.parametrize("name", NAMES)
def test_an_example_compiles(name: str, platform: str, load, tmp_path: Path) -> None:
    output = tmp_path / f"{name}.yaml"
    words = ["compile", "--platform", platform, "--output", str(output)]
    result = CliRunner().invoke(load(name).main, [*words, "--image-registry", "registry.test/team"])
    assert result.exit_code == 0, result.output
    spec, *others = yaml.load_all(output.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    parse_strictly(spec)
    assert broken_references(spec) == []
    executors = spec["deploymentSpec"]["executors"].values()
    images = {executor["container"]["image"] for executor in executors}
    assert all(image.startswith("registry.test/team/kfp-llm-tuning-") for image in images)
    # Every task is equipped as ours are: on Kubeflow each has at least a deadline.
    if platform == "kubeflow":
        (kubernetes,) = others
        equipped = kubernetes["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
        assert equipped.keys() == spec["deploymentSpec"]["executors"].keys()
