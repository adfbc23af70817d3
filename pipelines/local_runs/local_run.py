"""One run of a pipeline on this machine: it begins in a folder of its own, or goes on there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from kfp_llm_tuning.components.common.errors import (
    EXIT_INTERNAL_ERROR,
    EXIT_RUN_AGAIN,
    EXIT_USER_ERROR,
)
from kfp_llm_tuning.components.common.folders import remove_leftovers
from kfp_llm_tuning.components.common.process_ends import is_crash
from kfp_llm_tuning.components.common.registry_location import default_registry_uri
from kfp_llm_tuning.components.tracking.tracked_run import RUN_ID_VARIABLE
from kfp_llm_tuning.components.tracking.tracked_task import WATCHED_VARIABLE
from kfp_llm_tuning.pipelines.graphs.platform import Platform
from kfp_llm_tuning.pipelines.local_runs import run_directory, run_record
from kfp_llm_tuning.pipelines.local_runs.local_runner import LocalRunner, TaskResult
from kfp_llm_tuning.pipelines.local_runs.platform import local_platform
from kfp_llm_tuning.pipelines.local_runs.relocation import Relocation
from kfp_llm_tuning.pipelines.local_runs.run_advice import advise
from kfp_llm_tuning.pipelines.local_runs.run_display import RunDisplay
from kfp_llm_tuning.pipelines.local_runs.run_processes import stop_left_behind
from kfp_llm_tuning.pipelines.local_runs.run_progress import sure_tasks
from kfp_llm_tuning.pipelines.local_runs.run_recorder import RunRecorder
from kfp_llm_tuning.pipelines.local_runs.run_tracking import RunTracking
from kfp_llm_tuning.pipelines.terminal.text import format_seconds, output_console

if TYPE_CHECKING:
    from kfp.dsl.base_component import BaseComponent


@dataclass(frozen=True)
class LocalRun:
    """What became of a run.

    Attributes:
        registry_uri: Where it registered models.
        seconds: Wall-clock time.
        tasks: The result of each task.
        outputs: The pipeline's own outputs; empty unless it succeeded.
        exit_code: 0, or why it did not succeed, as docs/architecture.md lists it.
    """

    registry_uri: str
    seconds: float
    tasks: Sequence[TaskResult]
    outputs: Mapping[str, Any] = field(default_factory=dict)
    exit_code: int = 0


def run_in(
    directory: Path,
    build: Callable[[str, Platform], BaseComponent],
    resume_command: str,
    console: Console | None = None,
) -> LocalRun:
    """Runs the pipeline of a folder that ``run_directory.create`` made; done tasks stay done.

    Args:
        directory: The run's folder.
        build: Given the name in the folder's record and the platform, makes the pipeline.
        resume_command: What a person types to go on with a run that did not succeed.
        console: Shows the tasks; standard output if none is given.

    Returns:
        What became of it.

    Raises:
        UserError: If the folder is no run, or if another process is at work in it.
    """
    console = console or output_console()
    with run_directory.locked(directory):
        record = run_record.read(directory)
        made = Path(record.directory or directory)
        relocation = Relocation.of_run(made, directory)
        # A run that was copied is another's that may be at work.
        gone = [old for old in relocation.moved if not Path(old).exists()]
        if left := stop_left_behind(directory, *gone):
            console.print(f"Stopped {left} processes that a killed run had left behind.")
        remove_leftovers(directory / "tasks")
        console.print(Text.assemble((record.template, "bold"), f"  run {directory.name}"))
        for old, new in relocation.moved.items():
            console.print(f"{old} is now {new}: so are the paths in it.")
        own_registry = default_registry_uri(directory.parent)
        platform = local_platform(
            directory, own_registry, record.labels, record.started_at, made.name
        )
        parameters = relocation.as_now(dict(record.parameters))
        pipeline = build(record.template, platform)
        registry_uri = str(parameters.get("registry_uri") or own_registry)
        display = RunDisplay(console, sure_tasks(pipeline))
        recorder = RunRecorder(directory, record, display, relocation)
        runner = LocalRunner(
            directory,
            recorder,
            relocation=relocation,
            variables={RUN_ID_VARIABLE: platform.run_id, WATCHED_VARIABLE: "1"},
            shares_imports=True,
        )
        name = str(parameters.get("model_display_name") or record.template)
        tracking = RunTracking(directory, pipeline, registry_uri, platform.run_id, name)
        tracking.begin(parameters)
        with display:
            succeeded = runner.run(pipeline, parameters)
        state = "succeeded" if succeeded else "interrupted" if runner.interrupted else "failed"
        seconds = recorder.end(state, runner.tasks)
        if not succeeded:
            took = format_seconds(seconds)
            console.print(Text.assemble((state.capitalize(), "red"), f" after {took}."))
            problems = [problem for task in runner.tasks for problem in task.problems]
            for line in advise(problems, parameters, resume_command):
                console.print(line)
        # While the folder is held: of one that nobody holds the next run says that it was killed.
        tracking.end(state, runner.tasks)
    if tracking.warning:
        console.print(Text(tracking.warning, style="yellow"))
    exit_code = 0 if succeeded else _exit_code(runner)
    return LocalRun(registry_uri, seconds, runner.tasks, runner.outputs, exit_code)


def _exit_code(runner: LocalRunner) -> int:
    if runner.interrupted:
        return EXIT_RUN_AGAIN
    codes = [task.exit_code or 0 for task in runner.tasks if task.state == "failed"]
    is_ours = any(code == EXIT_INTERNAL_ERROR or is_crash(code) for code in codes)
    return EXIT_INTERNAL_ERROR if is_ours else EXIT_USER_ERROR
