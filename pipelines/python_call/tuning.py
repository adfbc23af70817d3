"""``tune``: the whole pipeline on this machine, called from a notebook or a script."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfp_llm_tuning.components.common.errors import (
    EXIT_RUN_AGAIN,
    EXIT_USER_ERROR,
    Problem,
    UserError,
    collect,
)
from kfp_llm_tuning.components.common.folders import scratch_folder
from kfp_llm_tuning.components.common.storage import make_folder
from kfp_llm_tuning.components.common.wording import short
from kfp_llm_tuning.components.parameters.pipeline import TEMPLATES
from kfp_llm_tuning.pipelines.python_call.given_data import location_of, write_rows
from kfp_llm_tuning.pipelines.python_call.signature import with_table_parameters

if TYPE_CHECKING:
    from kfp_llm_tuning.pipelines.local_runs.local_run import LocalRun
    from kfp_llm_tuning.pipelines.python_call.tuned_run import TunedRun

_INPUTS = {"data": "dataset_uri", "evaluation": "evaluation_data_uri"}
_FILES = {"data": "train.jsonl", "evaluation": "evaluation.jsonl"}
_STAGED = ".given-"


@with_table_parameters
def tune(
    data: Any = None,
    large_model_reference: str | os.PathLike[str] | None = None,
    *,
    evaluation: Any = None,
    output_dir: str | os.PathLike[str] = "runs",
    resume: str | os.PathLike[str] | None = None,
    template: str | None = None,
    labels: Mapping[str, str] | None = None,
    yes: bool = False,
    **parameters: Any,
) -> TunedRun:
    """Tunes, evaluates and registers a model on this machine; prints each task as it goes.

    It is `kfp-llm-tuning run` as a call: the same parameters by the same names, the same checks,
    the same folder of runs. Ctrl-C (in a notebook: interrupt the kernel) saves what is done and
    raises KeyboardInterrupt, whose message says how to go on.

    Args:
        data: Training data: a path or URI or a list of them, a data frame of pandas (or one that
            exports Arrow, as those of polars and pyarrow do), or rows that are dictionaries. It
            takes the place of dataset_uri; frames and rows are kept in the run's folder.
        large_model_reference: What to tune: a name of the table, hf://org/name, or a folder.
        evaluation: Evaluation data, as data; or the share of data that is kept from training for
            it, such as 0.1.
        output_dir: Folder of all runs and of the model registry.
        resume: A run to go on with, by its name or folder, or "latest". It keeps its parameters.
            Of one that is done it gives the result again.
        template: tune-large-model or tune-large-chat-model; by default as the model decides.
        labels: Of the run and of the model.
        yes: Whether a large model may be downloaded; else it is refused with its size.
        **parameters: Every other parameter of the pipeline and of the tuner.

    Returns:
        Metrics, reports, and the model, which predicts.

    Raises:
        UserError: With every problem of the data and the parameters; a task's own with the call
            that goes on.
        KeyboardInterrupt: If the run was interrupted; it can be resumed.
        RuntimeError: If a task failed by a fault of ours.
    """
    from kfp_llm_tuning.pipelines.local_runs import tuning_run
    from kfp_llm_tuning.pipelines.python_call.tuned_run import TunedRun
    from kfp_llm_tuning.pipelines.terminal.text import output_console

    tuning_run.check_installed()
    values = {"large_model_reference": large_model_reference, **parameters}
    given = {name: value for name, value in values.items() if value is not None}
    pair = {"data": data, "evaluation": evaluation}
    own_data = {name: value for name, value in pair.items() if value is not None}
    output = Path(output_dir)
    console = output_console()
    if resume is None:
        directory = _begun(own_data, given, template, labels or {}, output, yes=yes)
    else:
        if given or own_data or template or labels:
            fix = "Give no parameters, or start a new run without resume."
            raise UserError(Problem("a resumed run keeps its parameters.", "resume", fix=fix))
        found = tuning_run.to_resume(output, os.fspath(resume))
        for reason in found.passed_over:
            console.print(f"Note: {reason}")
        directory = found.directory
    go_on = f"tune(resume={directory.name!r}, output_dir={str(directory.parent)!r})"
    run = tuning_run.go_on(directory, go_on, console)
    if run.summary is None:
        raise _failure(run.done, go_on)
    return TunedRun(directory, run.done.registry_uri, run.summary, run.done.seconds)


def _begun(
    data: Mapping[str, Any],
    given: Mapping[str, Any],
    template: str | None,
    labels: Mapping[str, str],
    output_dir: Path,
    *,
    yes: bool,
) -> Path:
    """Checks all at once, and makes the run's folder."""
    from kfp_llm_tuning.pipelines.local_runs import tuning_run
    from kfp_llm_tuning.pipelines.requests.request_defaults import completed
    from kfp_llm_tuning.pipelines.requests.tuner_arguments import put_over

    values, problems = put_over({}, {name: _text(value) for name, value in given.items()}, "tune")
    if template is not None and template not in TEMPLATES:
        what = f"{short(template)} is no template."
        problems.append(Problem(what, "template", ", ".join(TEMPLATES)))
        template = None
    twice = [name for name in data if _INPUTS[name] in given]
    problems += [
        Problem(f"stands twice: as {name} and as {_INPUTS[name]}.", name, fix="Leave one out.")
        for name in twice
    ]
    rows = {}
    for name, value in data.items():
        if location := location_of(value):
            values[_INPUTS[name]] = location
        elif name == "evaluation" and isinstance(value, float | int):
            values["evaluation_fraction"] = value
        else:
            rows[name] = value
    with _written(rows, output_dir, problems) as files:
        values |= {name: str(file) for name, file in files.items()}
        if not values:
            fix = "Give a data frame, rows, or a path: tune(data, ...)."
            raise UserError(*problems, Problem("nothing to tune.", "data", fix=fix))
        request = completed(None, values, labels, template, problems)
        confirm = None if yes else _refuse_download
        return tuning_run.begin(request, output_dir, files, confirm_download=confirm)


def _refuse_download(what: str) -> None:
    fix = "Give yes=True to download it, or name a smaller model."
    raise UserError(Problem(what, "large_model_reference", fix=fix))


@contextmanager
def _written(
    rows: Mapping[str, Any], output_dir: Path, problems: list[Problem]
) -> Iterator[Mapping[str, Path]]:
    """Writes data that is no file yet beside the runs, for as long as it is being checked."""
    if not rows:
        yield {}
        return
    make_folder(output_dir, "output_dir")
    with scratch_folder(output_dir, _STAGED) as folder:
        files = {_INPUTS[name]: folder / _FILES[name] for name in rows}
        for name, value in rows.items():
            with collect(problems):
                write_rows(value, files[_INPUTS[name]], name)
        yield files


def _text(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _failure(done: LocalRun, go_on: str) -> BaseException:
    if done.exit_code == EXIT_RUN_AGAIN:
        return KeyboardInterrupt(f"The run is stopped and saved. Go on with {go_on}")
    failed = [task for task in done.tasks if task.state == "failed"]
    logs = [f"{task.name} failed: its log is {task.log}." for task in failed]
    if done.exit_code != EXIT_USER_ERROR:
        return RuntimeError(" ".join([*logs, "Please report it."]))
    told = [problem for task in failed for problem in task.problems]
    return UserError(*(told or map(Problem, logs)))
