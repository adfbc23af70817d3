"""Memory of this machine that a process may use: a container's limit counts, too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

_GROUPS_OF_THIS_PROCESS = Path("/proc/self/cgroup")
_MOUNT = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class HostMemory:
    """What there is.

    Attributes:
        total: Bytes that may be used at all.
        available: Bytes that may still be used, without swapping and without being killed.
    """

    total: int
    available: int


@dataclass(frozen=True)
class _Files:
    """Names of a control group's files, in the two versions of them.

    https://docs.kernel.org/admin-guide/cgroup-v2.html, "Memory Interface Files", and
    https://docs.kernel.org/admin-guide/cgroup-v1/memory.html.
    """

    limit: str
    used: str
    reclaimable: str


_VERSION_2 = _Files("memory.max", "memory.current", "inactive_file")
_VERSION_1 = _Files("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def host_memory(
    groups_of_process: Path = _GROUPS_OF_THIS_PROCESS, mount: Path = _MOUNT
) -> HostMemory:
    """Measures this machine's memory, and the room that its control groups leave this process.

    Args:
        groups_of_process: The kernel's list of the process's control groups.
        mount: Where control groups are mounted.

    Returns:
        The least of the machine's and of each group's that the process is in.
    """
    machine = psutil.virtual_memory()
    total, available = int(machine.total), int(machine.available)
    for folder, files in _groups(groups_of_process, mount):
        limit = _number(folder / files.limit)
        if limit is None or limit >= machine.total:
            continue
        total = min(total, limit)
        kept = (_number(folder / files.used) or 0) - _reclaimable(folder, files)
        available = min(available, max(limit - kept, 0))
    return HostMemory(total, available)


def _groups(groups_of_process: Path, mount: Path) -> Iterator[tuple[Path, _Files]]:
    """Finds the group of this process and all that it lies in: each may have a limit."""
    try:
        lines = groups_of_process.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _number_of_hierarchy, controllers, name = line.split(":", 2)
        if not controllers:
            root, files = mount, _VERSION_2
        elif "memory" in controllers.split(","):
            root, files = mount / "memory", _VERSION_1
        else:
            continue
        # In a container the group may be named as its host sees it, and be mounted as the root.
        folder = root / name.lstrip("/")
        while folder != root:
            yield folder, files
            folder = folder.parent
        yield root, files


def _reclaimable(folder: Path, files: _Files) -> int:
    """Reads what the group holds of files that nobody used lately: the kernel gives it up."""
    try:
        lines = (folder / "memory.stat").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    found = dict(line.split(" ", 1) for line in lines if " " in line)
    return int(found.get(files.reclaimable, 0))


def _number(path: Path) -> int | None:
    """Reads a file of one number; None where there is none, or no limit ("max")."""
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
