"""A run on this machine in its folder: moved, damaged, and what it recommends when it fails."""

import io
import signal
from pathlib import Path

import pytest
from kfp import dsl
from kfp.dsl.base_component import BaseComponent
from rich.console import Console

from kfp_llm_tuning.components.common.images import IMAGE
from kfp_llm_tuning.pipelines.graphs.platform import Platform
from kfp_llm_tuning.pipelines.local_runs import run_directory, run_record
from kfp_llm_tuning.pipelines.local_runs.local_run import LocalRun, run_in


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def write(text: str, folder: str, run_id: str, written: dsl.Output[dsl.Dataset]) -> str:
    from pathlib import Path

    Path(written.path).write_text(f"{text} {folder}", encoding="utf-8")
    return run_id


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def refuse(where: str) -> None:
    from kfp_llm_tuning.components.common.errors import Problem, UserError, exit_on_error

    with exit_on_error():
        raise UserError(Problem("is wrong.", where))


def build(_: str, platform: Platform) -> BaseComponent:
    @dsl.pipeline(name="writing")
    def writing(text: str) -> str:
        return write(
            text=text, folder=platform.checkpoint_directory, run_id=platform.run_id
        ).outputs["Output"]

    return writing


def build_refusing(_: str, platform: Platform) -> BaseComponent:
    @dsl.pipeline(name="refusing")
    def refusing(where: str) -> None:
        refuse(where=where)

    return refusing


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def be_killed(number: int) -> None:
    import os

    os.kill(os.getpid(), number)


def build_killed(_: str, platform: Platform) -> BaseComponent:
    @dsl.pipeline(name="killed")
    def killed(number: int) -> None:
        be_killed(number=number)

    return killed


def run(directory: Path, maker: object = build) -> tuple[LocalRun, str]:
    printed = io.StringIO()
    console = Console(file=printed, width=200)
    return run_in(directory, maker, "RESUME", console), printed.getvalue()  # type: ignore[arg-type]


def test_a_moved_run_has_its_tasks_done_and_keeps_its_name(tmp_path: Path) -> None:
    made = run_directory.create(tmp_path / "old", "writing", {"text": str(tmp_path / "old/data")})
    done, _ = run(made)
    assert [task.state for task in done.tasks] == ["succeeded"]
    assert done.outputs == {"Output": made.name}
    (tmp_path / "old").rename(tmp_path / "new")
    moved = (tmp_path / "new" / made.name).rename(tmp_path / "new" / "renamed")
    done, printed = run(moved)
    assert [task.state for task in done.tasks] == ["cached"]
    assert done.outputs == {"Output": made.name}
    assert Path(done.tasks[0].outputs["written"]).is_relative_to(moved)
    assert f"{made} is now {moved}" in printed
    assert done.registry_uri == f"sqlite:///{tmp_path}/new/mlflow.db"


def test_a_damaged_output_is_made_again_and_told_of(tmp_path: Path) -> None:
    directory = run_directory.create(tmp_path, "writing", {"text": "a"})
    done, _ = run(directory)
    Path(done.tasks[0].outputs["written"]).write_text("a", encoding="utf-8")
    done, printed = run(directory)
    assert [task.state for task in done.tasks] == ["succeeded"]
    assert "its output written is damaged" in printed
    assert "done again" in printed
    assert run_record.read(directory).state == "succeeded"


@pytest.mark.parametrize(("where", "resumed"), [("train.jsonl, line 3", True), ("where", False)])
def test_a_run_is_to_be_resumed_only_where_no_parameter_is_at_fault(
    tmp_path: Path, where: str, resumed: bool
) -> None:
    directory = run_directory.create(tmp_path, "refusing", {"where": where})
    done, printed = run(directory, build_refusing)
    assert done.exit_code == 1
    assert ("RESUME" in printed) == resumed
    assert ("begin a new run, without --resume" in printed) != resumed


@pytest.mark.parametrize(
    ("number", "code", "why"),
    [
        (signal.SIGKILL, 1, "killed by SIGKILL: memory may have run out."),
        (signal.SIGSEGV, 13, "killed by SIGSEGV."),
    ],
)
def test_a_task_that_is_killed_says_so_and_is_to_be_resumed(
    tmp_path: Path, number: signal.Signals, code: int, why: str
) -> None:
    directory = run_directory.create(tmp_path, "killed", {"number": int(number)})
    done, printed = run(directory, build_killed)
    assert done.exit_code == code
    assert f"Error: the task's process was {why}\n" in printed
    assert "Go on with: RESUME" in printed
