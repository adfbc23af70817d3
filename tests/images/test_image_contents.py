"""What the built images hold, and who works in them."""

from __future__ import annotations

import pytest

from tests.images.podman import Podman

pytestmark = [pytest.mark.containers, pytest.mark.timeout(3600)]

# As a cluster does that gives each namespace its own numbers.
USERS = ["", "--user=12345:0"]


@pytest.fixture(params=["python_image", "serving_image"])
def image(request: pytest.FixtureRequest) -> str:
    """Each image that a machine without a GPU can use."""
    name: str = request.getfixturevalue(request.param)
    return name


def test_what_is_installed_fits_together(podman: Podman, image: str) -> None:
    assert "No broken requirements" in podman.call("run", "--rm", image, "pip", "check").stdout


@pytest.mark.parametrize("user", USERS)
def test_nobody_is_root_and_home_can_be_written_to(podman: Podman, image: str, user: str) -> None:
    script = 'mkdir -p "$HF_HOME" && touch "$HOME/file" "$HF_HOME/file" && id -u && id -g'
    options = [user] if user else []
    printed = podman.call("run", "--rm", *options, image, "sh", "-ec", script).stdout
    number = user.removeprefix("--user=").partition(":")[0] or "10001"
    assert printed.split() == [number, "0"]


def test_tasks_find_every_stage(podman: Podman, python_image: str) -> None:
    stages = ("validation", "dataset", "tuning", "generation", "evaluation", "upload")
    imports = "; ".join(f"import kfp_llm_tuning.components.{stage}" for stage in stages)
    podman.call("run", "--rm", "--network=none", python_image, "python", "-c", imports)
    told = podman.call("run", "--rm", python_image, "kfp-llm-tuning", "--help").stdout
    assert "Usage: kfp-llm-tuning" in told
