"""The process that the tasks of a run on this machine are forked from: it imports libraries once.

Half of a small run's processor time went into imports: each task's process brought its own torch,
transformers and MLflow. The server imports what a task needs, unless it did so for an earlier one,
and forks. A task is a process as it was before: with pipes, environment, memory, signals and an
exit code of its own. The server does nothing but import and fork: no task runs in it, and it has no
threads, whose locks would be held in a copy for good. Where a library has started one nevertheless,
nothing is forked any more, and tasks are started afresh.

``python -m kfp_llm_tuning.pipelines.local_runs.task_server DESCRIPTOR``: of a socket whose other
end has ``forked_tasks.ForkServer``. When that is closed the server ends; its tasks do not.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from kfp_llm_tuning.components.common import forks
from kfp_llm_tuning.pipelines.local_runs import task_process

# With an order come standard output, standard error, and where the server writes the process's id,
# and then how it ended.
_DESCRIPTORS = 3
_LONGEST_PATH = 2**12
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True)
class TaskOrder:
    """What a forked process is to do.

    Attributes:
        arguments: Of KFP's executor.
        environment: All variables.
        imports: Modules that its work needs, and perhaps that of later tasks.
    """

    arguments: Sequence[str]
    environment: Mapping[str, str]
    imports: Sequence[str] = ()

    def write(self, path: Path) -> None:
        """Writes it to a file."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> TaskOrder:
        """Reads what ``write`` wrote."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))


@dataclass(frozen=True)
class _Forked:
    """A process at work, and the descriptor of who waits for its end."""

    pid: int
    status: int


class _Server:
    """Forks a process for every order that it is given."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ)
        # By a descriptor of the process, which is readable when it has ended.
        self._forked: dict[int, _Forked] = {}

    def serve(self) -> TaskOrder | None:
        """Works until nobody is left who gives orders, or nothing may be forked any more.

        Returns:
            In each forked process its order; None in the server itself.
        """
        while self._selector.get_map():
            for key, _ in self._selector.select():
                if key.fileobj is not self._control:
                    self._tell_end(key.fd)
                    continue
                path, descriptors, *_ = socket.recv_fds(self._control, _LONGEST_PATH, _DESCRIPTORS)
                if not path:
                    return None
                order = TaskOrder.read(Path(os.fsdecode(path)))
                if self._fork(order, *descriptors):
                    return order
        return None

    def _fork(self, order: TaskOrder, output: int, errors: int, status: int) -> bool:
        """Makes the process of an order; tells whether this is it."""
        _import_all(order.imports)
        if not forks.is_safe():
            for descriptor in (output, errors, status):
                os.close(descriptor)
            # No more orders; what is at work is waited for.
            self._selector.unregister(self._control)
            self._control.close()
            return False
        # A forked process copies what it writes to, and looking for cycles writes to all objects.
        gc.freeze()
        pid = os.fork()
        if not pid:
            self._leave(status)
            _take_over(output, errors, order.environment)
            return True
        os.close(output)
        os.close(errors)
        ended = os.pidfd_open(pid)
        self._forked[ended] = _Forked(pid, status)
        self._selector.register(ended, selectors.EVENT_READ)
        _tell(status, pid)
        return False

    def _tell_end(self, ended: int) -> None:
        forked = self._forked.pop(ended)
        _, found = os.waitpid(forked.pid, 0)
        self._selector.unregister(ended)
        _tell(forked.status, os.waitstatus_to_exitcode(found))
        os.close(ended)
        os.close(forked.status)

    def _leave(self, status: int) -> None:
        """Closes what is the server's, in a forked process."""
        self._selector.close()
        self._control.close()
        for descriptor in [status, *self._forked, *(each.status for each in self._forked.values())]:
            os.close(descriptor)


def _import_all(modules: Sequence[str]) -> None:
    for module in modules:
        # The task that needs it tells what is wrong with it.
        with contextlib.suppress(Exception):
            importlib.import_module(module)


def _take_over(output: int, errors: int, environment: Mapping[str, str]) -> None:
    """Makes a forked process one of its own."""
    os.setsid()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)
    for descriptor, standard in ((output, sys.stdout), (errors, sys.stderr)):
        os.dup2(descriptor, standard.fileno())
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(environment)
    if numpy := sys.modules.get("numpy"):
        # Python's own generator does so by itself; processes would draw the same numbers.
        numpy.random.seed()


def _tell(status: int, number: int) -> None:
    # Whoever waited may have been killed.
    with contextlib.suppress(BrokenPipeError):
        os.write(status, f"{number}\n".encode())


class _Ending:
    """Ends a forked process when Python has said all goodbyes, before it takes itself apart.

    That takes half a second with these libraries, and copies all memory that is shared.
    """

    def __init__(self) -> None:
        self._code = 0
        # What is registered first is called last.
        atexit.register(self._end)

    @contextlib.contextmanager
    def of_task(self) -> Iterator[None]:
        """Sees with which exit code the work ends."""
        try:
            yield
        except SystemExit as error:
            self._code = error.code if isinstance(error.code, int) else int(bool(error.code))
            raise
        except BaseException:
            self._code = 1
            raise

    def _end(self) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(self._code)


def main() -> None:
    """Serves, and in a forked process does the task."""
    # Whoever asks all processes at once to end asks this one too, which must live to tell how the
    # tasks end. Blocked rather than ignored: a signal to a task waits until the task is one.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    ending = _Ending()
    task_process.prepare_logging()
    order = _Server(socket.socket(fileno=int(sys.argv[1]))).serve()
    if order is not None:
        sys.argv[1:] = order.arguments
        with ending.of_task():
            task_process.execute()


if __name__ == "__main__":
    main()
