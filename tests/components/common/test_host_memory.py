"""A container's limit is the memory that there is."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from kfp_llm_tuning.components.common.host_memory import HostMemory, host_memory

MIB = 2**20


def group(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n")


def test_a_group_of_version_2_and_those_it_lies_in(tmp_path: Path) -> None:
    (tmp_path / "self").write_text("0::/pods/one\n")
    group(tmp_path, memory__max="max")
    group(tmp_path / "pods", memory__max=str(900 * MIB), memory__current=str(850 * MIB))
    group(
        tmp_path / "pods" / "one",
        memory__max=str(500 * MIB),
        memory__current=str(300 * MIB),
        memory__stat=f"anon {200 * MIB}\ninactive_file {100 * MIB}",
    )
    found = host_memory(tmp_path / "self", tmp_path)
    assert found == HostMemory(total=500 * MIB, available=50 * MIB)


def test_a_group_of_version_1_that_is_named_as_its_host_sees_it(tmp_path: Path) -> None:
    (tmp_path / "self").write_text("5:cpu,cpuacct:/x\n4:memory:/kubepods/burstable/pod7/abc\n")
    group(
        tmp_path / "memory",
        memory__limit_in_bytes=str(500 * MIB),
        memory__usage_in_bytes=str(200 * MIB),
        memory__stat=f"inactive_file {10 * MIB}\ntotal_inactive_file {50 * MIB}",
    )
    found = host_memory(tmp_path / "self", tmp_path)
    assert found == HostMemory(total=500 * MIB, available=350 * MIB)


@pytest.mark.parametrize("limit", ["max", str(2**63 - 4096)])
def test_without_a_limit_the_machine_counts(tmp_path: Path, limit: str) -> None:
    (tmp_path / "self").write_text("0::/\n")
    group(tmp_path, memory__max=limit, memory__current="1")
    assert host_memory(tmp_path / "self", tmp_path).total == psutil.virtual_memory().total
    assert host_memory(tmp_path / "none", tmp_path).total == psutil.virtual_memory().total
