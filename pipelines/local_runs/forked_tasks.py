"""Starts the processes of tasks from one that has imported what they share (``task_server.py``)."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from kfp_llm_tuning.pipelines.local_runs import task_server
from kfp_llm_tuning.pipelines.local_runs.shared_imports import shared_imports
from kfp_llm_tuning.pipelines.local_runs.task_server import TaskOrder

# What KFP has a shell do to run a component that installs nothing: write its source, execute it.
_EXECUTES_ONLY = re.compile(
    r'program_path=\$\(mktemp -d\)\s+printf "%s" "\$0" > "\$program_path/(?P<file>\w+\.py)"\s+'
    r"(?P<variable>_KFP_RUNTIME)=true \S+ -m kfp\.dsl\.executor_main\s+"
    r'--component_module_path\s+"\$program_path/(?P=file)"\s+"\$@"\s*'
)
_NAMES_FUNCTION = "--function_to_execute"

# A process may only be forked while it has one thread: no other is in the copy, and what it held is
# locked there for good. Both libraries start threads as they are loaded: numpy and scipy for
# OpenBLAS, pyarrow for jemalloc, whose allocator it then does not use.
_NO_THREADS = {
    "OPENBLAS_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}


def is_supported() -> bool:
    """Tells whether processes may be forked from one that has libraries loaded.

    Elsewhere than on Linux system libraries do not survive it, and processes are not found by a
    descriptor.
    """
    return sys.platform == "linux" and hasattr(os, "pidfd_open")


def order_of(
    command: Sequence[str], environment: Mapping[str, str], scratch: Path
) -> TaskOrder | None:
    """Reads what a process is to do out of the command that kfp.local would run.

    Args:
        command: A shell, its script, the component's source, and arguments of KFP's executor.
        environment: Variables of the process.
        scratch: A folder that the component's source is written to.

    Returns:
        The order; None where the command does anything else than execute a component.
    """
    shell, _, script, source, *arguments = command if len(command) > 3 else ("",) * 4
    found = _EXECUTES_ONLY.fullmatch(script)
    if shell != "sh" or not found or _NAMES_FUNCTION not in arguments[:-1]:
        return None
    program = scratch / found["file"]
    program.write_text(source, encoding="utf-8")
    function = arguments[arguments.index(_NAMES_FUNCTION) + 1]
    return TaskOrder(
        arguments=["--component_module_path", str(program), *arguments],
        environment={**environment, found["variable"]: "true"},
        imports=shared_imports(function),
    )


class ForkedTask:
    """A process at work, with as much of ``Popen`` as its runner needs.

    Attributes:
        pid: Of the process, which leads a session of its own.
        stdout: What it writes to standard output.
        stderr: What it writes to standard error.
    """

    def __init__(self, stdout: IO[bytes], stderr: IO[bytes], status: IO[bytes]) -> None:
        """Waits until the server says which process it is.

        Args:
            stdout: Reads standard output.
            stderr: Reads standard error.
            status: Reads what the server tells.

        Raises:
            NotForked: If there is none.
        """
        self.stdout = stdout
        self.stderr = stderr
        self._status = status
        if not (told := status.readline()):
            self.__exit__()
            raise NotForked
        self.pid = int(told)

    def wait(self) -> int:
        """Waits for its end.

        Returns:
            Its exit code, negative for the signal that killed it.
        """
        # A server that is killed says nothing of it: memory has run out, as for a task.
        return int(self._status.readline() or -signal.SIGKILL)

    def __enter__(self) -> ForkedTask:
        """Gives the process, whose pipes are closed at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes its pipes."""
        for pipe in (self.stdout, self.stderr, self._status):
            pipe.close()


class NotForked(Exception):
    """The process that forks tasks is gone, or forking from it would not be safe."""


class ForkServer:
    """Forks the tasks of one run; its own process is begun for the first of them."""

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        """Begins nothing yet.

        Args:
            environment: Variables of every task; libraries read them as they are imported.
            log: Takes what is printed by libraries that are imported.
        """
        self._environment = environment
        self._log = log
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        # Iterations of a loop start their tasks in threads of their own.
        self._lock = threading.Lock()

    def start(self, order: TaskOrder, scratch: Path) -> ForkedTask:
        """Starts a task's process.

        Args:
            order: What it is to do.
            scratch: A folder that the order is written to.

        Returns:
            The process.

        Raises:
            NotForked: If the server was killed, or may not fork: start the task afresh.
        """
        path = scratch / "order.json"
        order.write(path)
        reading, writing = zip(*(os.pipe() for _ in range(3)), strict=True)
        try:
            with self._lock:
                socket.send_fds(self._opened(), [os.fsencode(path)], list(writing))
        except OSError as error:
            for descriptor in reading:
                os.close(descriptor)
            raise NotForked from error
        finally:
            for descriptor in writing:
                os.close(descriptor)
        return ForkedTask(*(os.fdopen(descriptor, "rb") for descriptor in reading))

    def close(self) -> None:
        """Ends the server; tasks that are at work go on."""
        if self._control is not None and self._process is not None:
            self._control.close()
            self._process.wait()

    def _opened(self) -> socket.socket:
        if self._control is None:
            # Each order is one message.
            self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs, self._log.open("a", encoding="utf-8") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", task_server.__name__, str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdout=log,
                    stderr=log,
                    env={**os.environ, **self._environment, **_NO_THREADS, "_KFP_RUNTIME": "true"},
                    start_new_session=True,
                )
        return self._control
