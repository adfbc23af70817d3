"""kfp.local made to run a PipelineJob as Vertex AI does.

Artifacts are in Cloud Storage, container components run (their command as a process of this
machine), and every task knows its job's labels and ids. As for `LocalRunner`, internals of kfp
2.17 are replaced while a pipeline runs.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from kfp.local import (
    executor_input_utils,
    executor_output_utils,
    pipeline_orchestrator,
    placeholder_utils,
    subprocess_task_handler,
)
from kfp.local.orchestrator import enhanced_dag_orchestrator, task_spec_utils
from kfp.local.orchestrator.orchestrator_utils import OrchestratorUtils

from kfp_llm_tuning.pipelines.local_runs.local_runner import LocalRunner, TaskResult
from tests.vertex.execution import placeholders
from tests.vertex.execution.pipeline_job import PipelineJob
from tests.vertex.execution.processes import container_environment, last_lines
from tests.vertex.execution.task_values import outputs_written_or_not, split
from tests.vertex.images import start_error
from tests.vertex.redirect.sitecustomize import STORAGE_FOLDER_VARIABLE
from tests.vertex.runner_protocol import Event, Report, State, TaskPath, task_uuid

_path: ContextVar[TaskPath] = ContextVar("_path", default=())
_container: ContextVar[Any] = ContextVar("_container")


class VertexRunner(LocalRunner):
    """Runs one PipelineJob."""

    def __init__(self, job: PipelineJob, directory: Path, report: Report) -> None:
        """Takes the job.

        Args:
            job: The job.
            directory: For logs; caches of all jobs are beside it.
            report: Takes the events of the tasks.
        """
        super().__init__(directory, _Silent(), cache=directory.parent / "cache")
        self._job = job
        self._report = report
        self._storage = Path(os.environ[STORAGE_FOLDER_VARIABLE])
        self._begun: set[TaskPath] = set()
        self._failed_tasks: list[str] = []

    def run_job(self) -> Event:
        """Runs all tasks.

        Returns:
            The last event, of the whole job.
        """
        outputs: dict[str, Any] = {}

        def pipeline(**arguments: Any) -> SimpleNamespace:
            outputs.update(pipeline_orchestrator.run_local_pipeline(self._job.spec, arguments))
            return SimpleNamespace(outputs=outputs)

        succeeded = self.run(pipeline, self._job.arguments)
        self._report_the_rest(self._job.spec.root, ())
        parameters, artifacts = split(outputs)
        if self.interrupted:
            return Event((), "CANCELLED", error=f"{self._job.name} was cancelled.")
        if not succeeded or self._failed_tasks:
            names = ", ".join(self._failed_tasks)
            error = f"The DAG failed because some tasks failed. The failed tasks are: [{names}]."
            return Event((), "FAILED", error=error)
        return Event((), "SUCCEEDED", output_parameters=parameters, output_artifacts=artifacts)

    @contextlib.contextmanager
    def _replaced_internals(self) -> Iterator[None]:
        handler = subprocess_task_handler.SubprocessTaskHandler
        construct = executor_input_utils.construct_executor_input
        to_dict = executor_input_utils.executor_input_to_dict
        resolve = placeholder_utils.resolve_io_placeholders
        execute = enhanced_dag_orchestrator.execute_task
        loop = enhanced_dag_orchestrator._run_parallel_for_task
        replacements: list[tuple[Any, str, Callable[..., Any]]] = [
            (handler, "validate_not_container_component", lambda *_: None),
            # ``python3`` is found by PATH: in a payload it is meant for another machine.
            (subprocess_task_handler, "replace_python_executable", lambda command, _: command),
            (executor_input_utils, "get_local_pipeline_resource_name", lambda _: self._job.job_id),
            (executor_input_utils, "construct_local_task_root", self._task_root),
            (
                executor_input_utils,
                "construct_executor_input",
                lambda **keywords: self._with_mounted_outputs(construct(**keywords)),
            ),
            (
                executor_input_utils,
                "executor_input_to_dict",
                lambda **keywords: placeholders.with_integers(to_dict(**keywords)),
            ),
            (executor_output_utils, "get_outputs_for_task", outputs_written_or_not),
            (placeholder_utils, "make_random_id", self._task_id),
            (
                placeholder_utils,
                "resolve_io_placeholders",
                lambda inputs, text: placeholders.resolve(inputs, text, self._mounted, resolve),
            ),
            (
                task_spec_utils,
                "get_nested_pipeline_resource_name",
                lambda task_name, pipeline_resource_name: f"{pipeline_resource_name}/{task_name}",
            ),
            (
                enhanced_dag_orchestrator,
                "execute_task",
                lambda **keywords: self._execute_graph(execute, keywords),
            ),
            (
                enhanced_dag_orchestrator,
                "_run_parallel_for_task",
                lambda **keywords: self._execute_loop(loop, keywords),
            ),
        ]
        with super()._replaced_internals(), contextlib.ExitStack() as stack:
            for owner, name, replacement in replacements:
                stack.enter_context(patch.object(owner, name, replacement))
            yield

    def _execute(self, execute: Callable[..., Any], keywords: dict[str, Any]) -> Any:
        path = _task_path(keywords)
        _path.set(path)
        if self.interrupted:
            return super()._execute(execute, keywords)
        _container.set(_executor(keywords).container)
        inputs = self._begin(path, keywords)
        outputs, outcome = super()._execute(execute, keywords)
        task = self.current_task
        imported = _executor(keywords).WhichOneof("spec") == "importer"
        self._end(path, self._state(task, imported), inputs, outputs, _error(task))
        return outputs, outcome

    def _start(self, full_command: list[str], env_vars: dict[str, str] | None = None) -> int:
        resources = _container.get().resources.accelerator
        accelerator = resources.resource_type or resources.type
        if error := self._start_error(_path.get(), _container.get().image, accelerator):
            task = self.current_task
            task.log.write_text(f"{error}\n", encoding="utf-8")
            task.exit_code = 1
            return task.exit_code
        return super()._start(full_command, env_vars)

    def _start_error(self, _: TaskPath, image: str, accelerator: str) -> str:
        """What keeps a task's container from starting; empty where nothing does."""
        return start_error(image, accelerator)

    def _execute_graph(self, execute: Callable[..., Any], keywords: dict[str, Any]) -> Any:
        if _component(keywords).WhichOneof("implementation") != "dag" or self.interrupted:
            return execute(**keywords)
        path = _task_path(keywords)
        inputs = self._begin(path, keywords)
        outputs, outcome = execute(**keywords)
        self._end_group(path, outcome.name == "SUCCESS", inputs, outputs)
        return outputs, outcome

    def _execute_loop(self, execute: Callable[..., Any], keywords: dict[str, Any]) -> Any:
        path = _task_path(keywords)
        self._report(Event(path, "RUNNING"))
        failed = execute(**keywords)
        self._end_group(path, not failed, ({}, {}), {})
        return failed

    def _end_group(
        self, path: TaskPath, succeeded: bool, inputs: tuple[Any, Any], outputs: Mapping[str, Any]
    ) -> None:
        state: State = "SUCCEEDED" if succeeded else "FAILED"
        state = "CANCELLED" if self.interrupted else state
        self._end(path, state, inputs, outputs, f"{path[-1]}: some of its tasks failed.")

    def _state(self, task: TaskResult, imported: bool) -> State:
        if self.interrupted:
            return "CANCELLED"
        if task.state == "cached":
            # Vertex AI calls a task skipped whose outputs come from the cache.
            return "SUCCEEDED" if imported else "SKIPPED"
        return "SUCCEEDED" if task.state == "succeeded" else "FAILED"

    def _begin(self, path: TaskPath, keywords: dict[str, Any]) -> tuple[Any, Any]:
        arguments = OrchestratorUtils.make_task_arguments(
            keywords["task_spec"].inputs, keywords["io_store"]
        )
        parameters, artifacts = split(arguments)
        self._begun.add(path)
        self._report(Event(path, "RUNNING", input_parameters=parameters, input_artifacts=artifacts))
        return parameters, artifacts

    def _end(
        self,
        path: TaskPath,
        state: State,
        inputs: tuple[Any, Any],
        outputs: Mapping[str, Any],
        error: str,
    ) -> None:
        if state == "FAILED":
            self._failed_tasks.append(path[-1])
        parameters, artifacts = split(outputs)
        self._report(
            Event(
                path,
                state,
                input_parameters=inputs[0],
                input_artifacts=inputs[1],
                output_parameters=parameters,
                output_artifacts=artifacts,
                error=error if state == "FAILED" else "",
            )
        )

    def _report_the_rest(self, component: Any, path: TaskPath) -> None:
        """Tells of the tasks that never began: a condition did not hold, or others failed."""
        for name, task in component.dag.tasks.items():
            inner = (*path, name)
            if task.WhichOneof("iterator"):
                continue
            if inner not in self._begun:
                self._report(Event(inner, "NOT_TRIGGERED"))
            else:
                self._report_the_rest(self._job.spec.components[task.component_ref.name], inner)

    def _environment(self) -> Mapping[str, str]:
        labels = {
            **self._job.labels,
            "vertex-ai-pipelines-run-billing-id": self._job.environment["CLOUD_ML_JOB_ID"],
        }
        return {
            **super()._environment(),
            **container_environment(self._job.environment),
            "VERTEX_AI_PIPELINES_RUN_LABELS": json.dumps(labels),
        }

    def _task_id(self) -> str:
        return str(task_uuid(self._job.name, _path.get()))

    def _task_root(self, **_: Any) -> str:
        project = self._job.environment["CLOUD_ML_PROJECT_ID"]
        name = _path.get()[-1]
        return f"{self._job.root}/{project}/{self._job.job_id}/{name}_{self._task_id()}"

    def _mounted(self, uri: str) -> str:
        return str(self._storage / uri.removeprefix("gs://")) if uri.startswith("gs://") else uri

    def _with_mounted_outputs(self, executor_input: Any) -> Any:
        outputs = executor_input.outputs
        outputs.output_file = self._mounted(outputs.output_file)
        for parameter in outputs.parameters.values():
            parameter.output_file = self._mounted(parameter.output_file)
        # In a bucket no folder need be made before a file.
        Path(outputs.output_file).parent.mkdir(parents=True, exist_ok=True)
        return executor_input


class _Silent:
    """The observer of a run whose events are reported with more than it is told."""

    def started(self, task: TaskResult) -> None:
        pass

    def printed(self, task: TaskResult, line: str) -> None:
        pass

    def finished(self, task: TaskResult) -> None:
        pass

    def interrupted(self, again: bool) -> None:
        pass


def _task_path(keywords: dict[str, Any]) -> TaskPath:
    """Names the iterations of a loop as Vertex AI does, below their loop."""
    _, *graphs = keywords["pipeline_resource_name"].split("/")
    path: list[str] = []
    for name in (*graphs, keywords["task_name"]):
        loop, iterates, number = name.partition("-iteration-")
        path += [loop, f"{loop}-{number}"] if iterates else [name]
    return tuple(path)


def _component(keywords: dict[str, Any]) -> Any:
    return keywords["components"][keywords["task_spec"].component_ref.name]


def _executor(keywords: dict[str, Any]) -> Any:
    return keywords["executors"][_component(keywords).executor_label]


def _error(task: TaskResult) -> str:
    return f"{task.name} exited with code {task.exit_code}.\n{last_lines(task.log)}"
