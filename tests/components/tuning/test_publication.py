"""What tells machines that a run is done, on a folder of each and on one of all."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import fsspec
import pytest

from kfp_llm_tuning.components.tuning.machines import Machines
from kfp_llm_tuning.components.tuning.places import TuningPlaces
from kfp_llm_tuning.components.tuning.publication import Publication

FIRST, OTHER = Machines(2, 0), Machines(2, 1)


def places(base: str, output: str = "model") -> TuningPlaces:
    return TuningPlaces(f"{base}/train", "", f"{base}/{output}", f"{base}/m", f"{base}/kept")


@pytest.fixture(params=["memory", "file"])
def base(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A folder that both machines see."""
    return f"memory://{tmp_path.name}" if request.param == "memory" else str(tmp_path)


def publish(place: TuningPlaces, machines: Machines, scratch: Path, run: str = "run") -> None:
    Publication(place, dataclasses.replace(machines, index=1), run).attend()
    with fsspec.open(f"{place.output}/tuning.json", "w", auto_mkdir=True) as stream:
        stream.write("{}")
    Publication(place, machines, run).announce(scratch)


def test_all_hear_of_it(base: str, tmp_path: Path) -> None:
    machines = [Publication(places(base), one, "run") for one in (FIRST, OTHER)]
    assert not any(one.is_announced() for one in machines)
    publish(places(base), FIRST, tmp_path)
    assert all(one.is_announced() for one in machines)


def test_it_is_of_this_run_and_this_output(base: str, tmp_path: Path) -> None:
    publish(places(base), FIRST, tmp_path)
    assert not Publication(places(base), OTHER, "another run").is_announced()
    assert not Publication(places(base, "elsewhere"), OTHER, "run").is_announced()


def test_a_job_of_the_service_counts_for_the_output(base: str, tmp_path: Path) -> None:
    first, other, later = (
        Machines(2, index, job=job) for index, job in ((0, "1"), (1, "1"), (1, "2"))
    )
    publish(places(base), first, tmp_path)
    assert Publication(places(base, "nowhere"), other, "run").is_announced()
    assert not Publication(places(base), later, "run").is_announced()


def test_what_was_deleted_since_is_not_in_place(base: str, tmp_path: Path) -> None:
    publish(places(base), FIRST, tmp_path)
    filesystem, path = fsspec.core.url_to_fs(f"{base}/model/tuning.json")
    filesystem.rm(path)
    assert not Publication(places(base), OTHER, "run").is_announced()


def test_half_an_announcement_is_none(base: str, tmp_path: Path) -> None:
    publish(places(base), FIRST, tmp_path)
    with fsspec.open(f"{base}/kept/published.json", "w") as stream:
        stream.write('{"output": ')
    assert not Publication(places(base), OTHER, "run").is_announced()


def test_machines_with_disks_of_their_own_are_told_nothing(tmp_path: Path) -> None:
    mine, other = (places(str(tmp_path / name)) for name in ("first", "other"))
    Publication(other, OTHER, "run").attend()
    assert not Publication(other, OTHER, "run").is_heard
    Path(mine.checkpoints).mkdir(parents=True)
    Publication(mine, FIRST, "run").announce(tmp_path)
    assert not list(Path(mine.checkpoints).iterdir())
