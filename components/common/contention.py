"""Makes OpenMP's threads give way when other programs want the same processors.

A thread that waits for the others of its team spins for some milliseconds before it sleeps. On
processors of its own that is the fastest way; beside other programs a spinning thread takes the
time that the awaited one needs, and everything becomes several times slower. GNU's OpenMP, which
torch brings, spins 3,000 times shorter while a process has more OpenMP threads than processors
(libgomp's manual, "GOMP_SPINCOUNT"). So, while this process's threads have to wait for processors,
a further team of threads that do nothing is kept.
"""

from __future__ import annotations

import ctypes
import logging
import os
import threading
from collections.abc import Mapping
from pathlib import Path

logger = logging.getLogger(__name__)

# Whoever sets one of these has decided how threads wait.
_USERS_DECISIONS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
_SECONDS_BETWEEN_LOOKS = 1.0
# Of the time in which threads could run, how much they waited for a processor. Alone on a machine
# it is below 0.02, of a server beside its clients above 0.1, and above 0.3 where another program
# computes on one of two processors.
CONTENDED = 0.25
_CALM = 0.12
# So many calm looks one after another end the giving way.
_CALM_LOOKS = 5
# A team is never made larger than this: each of its threads counts in a container's limit.
_LARGEST_TEAM = 64


def watch(threads: int) -> None:
    """Watches over this process from now on; a second call changes nothing.

    Does nothing where the user has decided how threads wait, where there is one thread, which waits
    for nobody, or where the system does not tell how long threads wait.

    Args:
        threads: OpenMP threads that compute.
    """
    global _watch
    with _starting:
        if _watch is None and threads > 1 and not any(map(os.environ.get, _USERS_DECISIONS)):
            _watch = _started_watch(threads)


def waiting_share() -> float:
    """Tells how much of the time in which threads could run they lately waited for a processor.

    Returns:
        From 0 to 1; 0 where nothing is watched.
    """
    return _watch.share if _watch else 0.0


class IdleThreads:
    """OpenMP threads that do nothing but be more than there are processors."""

    def __init__(self, library: ctypes.CDLL, size: int) -> None:
        """Makes the team.

        Args:
            library: GNU's OpenMP, as the process has loaded it.
            size: How many threads.
        """
        self._library = library
        self._size = size
        self._released = threading.Event()
        self._owner = threading.Thread(target=self._keep, name="openmp-team", daemon=True)
        self._owner.start()

    def _keep(self) -> None:
        # A team lives as long as the thread that began it.
        nothing = ctypes.cast(self._library.omp_get_thread_num, ctypes.c_void_p)
        self._library.GOMP_parallel(nothing, None, self._size, 0)
        self._released.wait()

    def release(self) -> None:
        """Ends its threads."""
        self._released.set()
        self._owner.join()


class ContentionWatch:
    """Looks at how long this process's threads wait for processors, and gives way.

    Attributes:
        share: Waiting in proportion to waiting and running, at the last look.
        giving_way: Whether threads spin for a short time only.
    """

    def __init__(self, library: ctypes.CDLL, team_size: int) -> None:
        """Prepares a watch.

        Args:
            library: GNU's OpenMP.
            team_size: Threads that make the process have more than there are processors.
        """
        self.share = 0.0
        self._library = library
        self._team_size = team_size
        self._idle_threads: IdleThreads | None = None
        self._calm_looks = 0

    @property
    def giving_way(self) -> bool:
        """Whether a further team is kept."""
        return self._idle_threads is not None

    def look(self, running: int, waiting: int) -> None:
        """Decides anew.

        Args:
            running: Nanoseconds that the process's threads ran since the last look, summed.
            waiting: Nanoseconds that they waited for a processor.
        """
        self.share = waiting / max(running + waiting, 1)
        self._calm_looks = self._calm_looks + 1 if self.share < _CALM else 0
        if self._idle_threads is None and self.share > CONTENDED:
            logger.debug("Threads waited %.0f %% of the time: giving way.", 100 * self.share)
            self._idle_threads = IdleThreads(self._library, self._team_size)
        elif self._idle_threads is not None and self._calm_looks >= _CALM_LOOKS:
            logger.debug("Threads no longer wait.")
            self._idle_threads.release()
            self._idle_threads = None

    def run(self) -> None:
        """Looks for as long as the process lives."""
        pause = threading.Event()
        before = _thread_times()
        while not pause.wait(_SECONDS_BETWEEN_LOOKS):
            now = _thread_times()
            self.look(*passed(before, now))
            before = now


ThreadTimes = Mapping[str, tuple[int, int]]


def passed(before: ThreadTimes, now: ThreadTimes) -> tuple[int, int]:
    """Sums how long threads ran and waited between two looks.

    Each thread is compared with itself: one that has ended takes its times with it, and must not be
    taken from those of the others.

    Args:
        before: Nanoseconds run and waited, by thread.
        now: The same, later.

    Returns:
        Nanoseconds that the threads of now ran, and waited for a processor.
    """
    ran = waited = 0
    for thread, (running, waiting) in now.items():
        ran_before, waited_before = before.get(thread, (0, 0))
        ran += max(running - ran_before, 0)
        waited += max(waiting - waited_before, 0)
    return ran, waited


_watch: ContentionWatch | None = None
_starting = threading.Lock()


def _started_watch(threads: int) -> ContentionWatch | None:
    library = _loaded_openmp()
    if library is None or not Path("/proc/self/schedstat").exists():
        return None
    # The team's first thread is counted with those that compute.
    team_size = len(os.sched_getaffinity(0)) - threads + 2
    if team_size > _LARGEST_TEAM:
        return None
    started = ContentionWatch(library, max(team_size, 2))
    threading.Thread(target=started.run, name="contention-watch", daemon=True).start()
    return started


def _loaded_openmp() -> ctypes.CDLL | None:
    """Finds the GNU OpenMP library that torch computes with."""
    try:
        lines = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    paths = [line.split(maxsplit=5)[-1] for line in lines if "libgomp" in line]
    # scikit-learn brings another copy, with threads of its own.
    paths = [path for path in paths if "/torch" in path] or paths
    return ctypes.CDLL(paths[0]) if paths else None


def _thread_times() -> ThreadTimes:
    """Reads what the kernel tells of each thread: nanoseconds run, and waited to run.

    Source: Documentation/scheduler/sched-stats of the Linux kernel, "/proc/<pid>/schedstat".
    """
    times = {}
    for file in Path("/proc/self/task").glob("*/schedstat"):
        try:
            ran, waited, _ = file.read_text(encoding="ascii").split()
        except (OSError, ValueError):
            continue
        times[file.parent.name] = (int(ran), int(waited))
    return times
