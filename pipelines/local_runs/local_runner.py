"""Runs a compiled pipeline on this machine with kfp.local, and tells an observer what happens.

kfp.local prints a stream of log lines and drops the exit code of a task. Four of its functions are
therefore replaced while a pipeline runs: the one that executes a task, to learn when each starts
and how it ends; the one that starts a task's process or container, to keep its output in a file
and its exit code; the one that opens the cache (``task_cache.py``); and the one that logs that the
pipeline failed, since it may do so although no task did. They are internals of kfp 2.17, which
setup.py pins, as are those that ``kfp_repairs`` mends.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from unittest.mock import patch

import psutil

from kfp_llm_tuning.components.common.credentials import hide_credentials
from kfp_llm_tuning.components.common.errors import PROBLEMS_VARIABLE, Problem, read_problems
from kfp_llm_tuning.components.common.process_ends import describe_kill, killing_signal
from kfp_llm_tuning.pipelines.local_runs import task_process
from kfp_llm_tuning.pipelines.local_runs.forked_tasks import (
    ForkedTask,
    ForkServer,
    NotForked,
    is_supported,
    order_of,
)
from kfp_llm_tuning.pipelines.local_runs.kfp_repairs import repaired
from kfp_llm_tuning.pipelines.local_runs.process_output import read_lines
from kfp_llm_tuning.pipelines.local_runs.relocation import Relocation
from kfp_llm_tuning.pipelines.local_runs.run_processes import RUN_VARIABLE, kill, terminate
from kfp_llm_tuning.pipelines.local_runs.task_containers import TaskContainer
from kfp_llm_tuning.pipelines.local_runs.task_lines import RUNNER_WARNS

if TYPE_CHECKING:
    from kfp.local import DockerRunner, SubprocessRunner

# The tuner watches this process and saves a checkpoint when it is gone.
RUNNER_PID_VARIABLE = "KFP_LLM_TUNING_RUN_PID"


@dataclass
class TaskResult:
    """What became of one task.

    Attributes:
        name: The task's name in its graph, such as ``dataset-encoder``.
        state: running, succeeded, cached, failed or interrupted.
        seconds: Wall-clock time.
        exit_code: Of its process or container; None where it had none (a cached task).
        outputs: Parameter values, and the path of each artifact.
        log: The file with everything that it printed.
        problems: The mistakes that it told of, where it failed for a user's.
    """

    name: str
    log: Path
    state: str = "running"
    seconds: float = 0.0
    exit_code: int | None = None
    outputs: dict[str, Any] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


class Observer(Protocol):
    """Is told of each task as it goes on."""

    def started(self, task: TaskResult) -> None:
        """A task begins."""

    def printed(self, task: TaskResult, line: str) -> None:
        """A task's process printed a line to standard output; its log has standard error too."""

    def finished(self, task: TaskResult) -> None:
        """A task has ended; its state and outputs are set."""

    def interrupted(self, again: bool) -> None:
        """A signal asked the run to stop, or once more to stop at once."""


_current_task: ContextVar[TaskResult] = ContextVar("_current_task")


class LocalRunner:
    """Runs one pipeline in a folder of its own.

    Attributes:
        tasks: The result of every task begun so far, in order.
        interrupted: Whether a signal asked the run to stop.
        outputs: The pipeline's own outputs, once it has succeeded; an artifact's is its path.
    """

    def __init__(
        self,
        directory: Path,
        observer: Observer,
        cache: Path | None = None,
        runner: SubprocessRunner | DockerRunner | None = None,
        relocation: Relocation | None = None,
        variables: Mapping[str, str] | None = None,
        shares_imports: bool = False,
    ) -> None:
        """Takes the run's folder, where logs and outputs are kept.

        Args:
            directory: The run's folder.
            observer: Told of each task.
            cache: Folder of what earlier tries did; by default in the run's own.
            runner: Where tasks run; by default each in a process of this environment. A
                DockerRunner runs container components too; its tasks see the folder ``tasks`` of
                the run, and what its ``mounts`` name.
            relocation: Of the run's folder since it was made.
            variables: Environment variables of every task, beside the runner's own.
            shares_imports: Whether tasks are forked from a process that imports once what several
                of them need, where this machine allows it; else each is a process started afresh.
        """
        self.directory = directory
        self.tasks: list[TaskResult] = []
        self.interrupted = False
        self.outputs: dict[str, Any] = {}
        self._observer = observer
        self._cache = cache or directory / "cache"
        self._relocation = relocation or Relocation()
        self._failed = False
        self._runner = runner
        self._variables = variables or {}
        self._shares_imports = shares_imports and is_supported()
        self._forks: ForkServer | None = None
        self._at_work: set[subprocess.Popen[bytes] | ForkedTask | TaskContainer] = set()

    @property
    def current_task(self) -> TaskResult:
        """The task that this thread works on: the iterations of a loop run side by side."""
        return _current_task.get()

    def run(self, pipeline: Callable[..., Any], arguments: dict[str, Any]) -> bool:
        """Runs the pipeline; tasks that an earlier try finished are taken from the cache.

        Args:
            pipeline: What ``@dsl.pipeline`` made.
            arguments: Values of its inputs.

        Returns:
            Whether every task succeeded.
        """
        from kfp import local

        local.init(
            runner=self._runner or local.SubprocessRunner(use_venv=False),
            pipeline_root=str(self.directory / "tasks"),
            raise_on_error=False,
        )
        logs = self.directory / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        with (
            (logs / "kfp.log").open("a", encoding="utf-8") as kfp_log,
            contextlib.redirect_stdout(kfp_log),
            contextlib.redirect_stderr(kfp_log),
            self._forking(),
            self._replaced_internals(),
            self._signals(),
            warnings.catch_warnings(),
        ):
            # Display names and resources, which the compiled pipelines carry for other platforms.
            warnings.filterwarnings("ignore", message=".*no effect in the current local runner.*")
            self.outputs = _paths_of(pipeline(**arguments).outputs)
        tasks_failed = any(task.state == "failed" for task in self.tasks)
        return not (self.interrupted or self._failed or tasks_failed)

    @contextlib.contextmanager
    def _forking(self) -> Iterator[None]:
        if not self._shares_imports:
            yield
            return
        self._forks = ForkServer(self._environment(), self.directory / "logs" / "kfp.log")
        with contextlib.closing(self._forks):
            yield

    @contextlib.contextmanager
    def _replaced_internals(self) -> Iterator[None]:
        from kfp.local import cache, pipeline_orchestrator
        from kfp.local.orchestrator import task_executor

        from kfp_llm_tuning.pipelines.local_runs.task_cache import TaskCache

        finished = TaskCache(self._cache, self._relocation, self._warn)
        execute = task_executor.execute_single_task
        with (
            repaired(),
            patch.object(
                task_executor,
                "execute_single_task",
                lambda **keywords: self._execute(execute, keywords),
            ),
            self._replaced_start(),
            patch.object(cache, "get_local_cache", lambda: finished),
            patch.object(
                pipeline_orchestrator, "log_and_maybe_raise_for_failure", self._note_failure
            ),
        ):
            yield

    def _replaced_start(self) -> contextlib.AbstractContextManager[Any]:
        from kfp import local

        if isinstance(self._runner, local.DockerRunner):
            # Imported for it alone: it needs the package docker.
            from kfp.local import docker_task_handler

            return patch.object(docker_task_handler, "run_docker_container", self._start_container)
        from kfp.local import subprocess_task_handler

        return patch.object(subprocess_task_handler, "run_local_subprocess", self._start)

    def _note_failure(self, **_: Any) -> None:
        self._failed = True

    def _execute(self, execute: Callable[..., Any], keywords: dict[str, Any]) -> Any:
        from kfp.local import status

        name = keywords["task_name"]
        task = TaskResult(name=name, log=self.directory / "logs" / f"{name}.log")
        self.tasks.append(task)
        if self.interrupted:
            task.state = "interrupted"
            return {}, status.Status.FAILURE
        self._observer.started(task)
        _current_task.set(task)
        begun = time.monotonic()
        outputs, outcome = execute(**keywords)
        task.seconds = time.monotonic() - begun
        task.outputs = _paths_of(outputs)
        if outcome != status.Status.SUCCESS:
            task.state = "interrupted" if self.interrupted else "failed"
        else:
            task.state = "succeeded" if task.exit_code is not None else "cached"
        self._observer.finished(task)
        return outputs, outcome

    def _warn(self, message: str) -> None:
        task = self.current_task
        line = f"{RUNNER_WARNS}{message}"
        with task.log.open("a", encoding="utf-8") as log:
            log.write(f"{line}\n")
        self._observer.printed(task, line)

    def _start(self, full_command: list[str], env_vars: dict[str, str] | None = None) -> int:
        with tempfile.TemporaryDirectory() as scratch:
            told = Path(scratch) / "problems.json"
            own = {**self._environment(), PROBLEMS_VARIABLE: str(told)}
            environment = {**os.environ, **own, **(env_vars or {})}
            # Variables that a task has for itself are for what it imports too.
            forks = None if env_vars else self._forks
            with _begin(full_command, environment, forks, Path(scratch)) as process:
                assert process.stdout is not None
                assert process.stderr is not None
                exit_code = self._follow(process, read_lines(process.stdout, process.stderr))
            self.current_task.problems = read_problems(told)
        return exit_code

    def _start_container(self, environment: Mapping[str, str] | None = None, **given: Any) -> int:
        variables = {**self._environment(), **(environment or {})}
        # A container has process ids of its own: the tuner would find that of the runner gone.
        del variables[RUNNER_PID_VARIABLE]
        with TaskContainer(**given, environment=variables) as container:
            return self._follow(container, ((line, False) for line in container.lines()))

    def _follow(
        self,
        work: subprocess.Popen[bytes] | ForkedTask | TaskContainer,
        lines: Iterable[tuple[str, bool]],
    ) -> int:
        task = self.current_task
        self._at_work.add(work)
        if self.interrupted:
            # Meanwhile: what it imports was being imported.
            _ask_to_end(work, at_once=False)
        with task.log.open("a", encoding="utf-8") as log:
            for raw, is_error in lines:
                line = hide_credentials(raw)
                log.write(line)
                log.flush()
                if not is_error:
                    self._observer.printed(task, line.rstrip("\r\n"))
        task.exit_code = work.wait()
        self._at_work.remove(work)
        killed_by = killing_signal(task.exit_code)
        if killed_by and not self.interrupted:
            with task.log.open("a", encoding="utf-8") as log:
                log.write(f"Error: the task's process was {describe_kill(killed_by)}.\n")
        return task.exit_code

    def _environment(self) -> Mapping[str, str]:
        return {
            "PYTHONUNBUFFERED": "1",
            # A bar that is drawn anew is a new line in a log.
            "TQDM_DISABLE": "1",
            RUN_VARIABLE: str(self.directory),
            RUNNER_PID_VARIABLE: str(os.getpid()),
            **self._variables,
        }

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        def stop(_number: int, _frame: object) -> None:
            # Set first: the next signal may come while containers are being asked.
            again, self.interrupted = self.interrupted, True
            self._observer.interrupted(again)
            for work in list(self._at_work):
                _ask_to_end(work, at_once=again)

        previous = {number: signal.signal(number, stop) for number in _STOP_SIGNALS}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


def _ask_to_end(
    work: subprocess.Popen[bytes] | ForkedTask | TaskContainer, *, at_once: bool
) -> None:
    if isinstance(work, TaskContainer):
        (work.kill if at_once else work.terminate)()
        return
    with contextlib.suppress(psutil.NoSuchProcess):
        outer = psutil.Process(work.pid)
        inside = [outer, *outer.children(recursive=True)]
        # The shell that kfp puts around a task must live to pass on the exit code.
        asked = [member for member in inside if member.name() != "sh"]
        (kill if at_once else terminate)(asked)


def _begin(
    command: list[str], environment: Mapping[str, str], forks: ForkServer | None, scratch: Path
) -> subprocess.Popen[bytes] | ForkedTask:
    if forks and (order := order_of(command, environment, scratch)):
        with contextlib.suppress(NotForked):
            return forks.start(order, scratch)
    return subprocess.Popen(
        [_in_task_process(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        # A Ctrl-C reaches this process alone, which passes it on once.
        start_new_session=True,
    )


def _in_task_process(part: str) -> str:
    """Puts our module in the place of KFP's executor, where a part of the command starts it."""
    if '"$program_path/ephemeral_component.py"' not in part:
        return part
    return part.replace("-m kfp.dsl.executor_main", f"-m {task_process.__name__}")


def _paths_of(outputs: Mapping[str, Any]) -> dict[str, Any]:
    return {key: getattr(value, "path", value) for key, value in outputs.items()}


_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
