"""The local runner on small pipelines: states, logs, exit codes, resuming, signals, orphans."""

import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

import pytest
from kfp import dsl

from kfp_llm_tuning.components.common.images import IMAGE
from kfp_llm_tuning.pipelines.local_runs.local_runner import LocalRunner, TaskResult
from kfp_llm_tuning.pipelines.local_runs.run_processes import stop_left_behind


class Recorder:
    def __init__(self) -> None:
        self.events: list[str] = []

    def started(self, task: TaskResult) -> None:
        self.events.append(f"start {task.name}")

    def printed(self, task: TaskResult, line: str) -> None:
        self.events.append(f"line {line}")

    def finished(self, task: TaskResult) -> None:
        self.events.append(f"{task.state} {task.name}")

    def interrupted(self, again: bool) -> None:
        self.events.append("again" if again else "interrupted")


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def make_number(value: int) -> int:
    print("making", value)  # noqa: T201
    return value + 1


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def fail_while(path: str, number: int, code: int) -> str:
    import os
    import sys

    if os.path.exists(path):  # noqa: PTH110
        print("Error: the file is there.")  # noqa: T201
        sys.exit(code)
    return f"done {number}"


@dsl.pipeline(name="inner")
def inner(value: int, path: str, code: int) -> str:
    made = make_number(value=value)
    return fail_while(path=path, number=made.output, code=code).output


@dsl.pipeline(name="outer")
def outer(value: int, path: str, code: int = 1) -> str:
    return inner(value=value, path=path, code=code).output


@pytest.mark.parametrize("shares_imports", [False, True])
def test_tasks_states_outputs_and_logs(tmp_path: Path, shares_imports: bool) -> None:
    recorder = Recorder()
    runner = LocalRunner(tmp_path / "run", recorder, shares_imports=shares_imports)
    assert runner.run(outer, {"value": 4, "path": str(tmp_path / "none")})
    assert [(task.name, task.state, task.exit_code) for task in runner.tasks] == [
        ("make-number", "succeeded", 0),
        ("fail-while", "succeeded", 0),
    ]
    assert runner.tasks[1].outputs == {"Output": "done 5"}
    assert recorder.events[0] == "start make-number"
    assert "line making 4" in recorder.events
    assert "making 4" in runner.tasks[0].log.read_text(encoding="utf-8")
    assert runner.tasks[0].seconds > 0


@pytest.mark.parametrize("code", [1, 13, 75])
def test_a_failed_task_keeps_its_exit_code_and_the_next_try_only_does_the_rest(
    tmp_path: Path, code: int
) -> None:
    blocker = tmp_path / "blocker"
    blocker.touch()
    arguments = {"value": 4, "path": str(blocker), "code": code}
    first = LocalRunner(tmp_path / "run", Recorder(), shares_imports=code == 75)
    assert not first.run(outer, arguments)
    assert [(task.state, task.exit_code) for task in first.tasks] == [
        ("succeeded", 0),
        ("failed", code),
    ]
    blocker.unlink()
    second = LocalRunner(tmp_path / "run", Recorder())
    assert second.run(outer, arguments)
    assert [task.state for task in second.tasks] == ["cached", "succeeded"]
    assert second.tasks[0].outputs == {"Output": 5}


@dsl.pipeline(name="looping")
def looping() -> None:
    with dsl.ParallelFor([0, 20]) as value:
        make_number(value=value)


def test_iterations_of_a_loop_run_side_by_side(tmp_path: Path) -> None:
    runner = LocalRunner(tmp_path, Recorder(), shares_imports=True)
    assert runner.run(looping, {})
    assert sorted(task.outputs["Output"] for task in runner.tasks) == [1, 21]
    assert [(task.state, task.exit_code) for task in runner.tasks] == [("succeeded", 0)] * 2


def test_runs_may_share_a_cache(tmp_path: Path) -> None:
    arguments = {"value": 4, "path": str(tmp_path / "none")}
    states = []
    for name in ("first", "second"):
        runner = LocalRunner(tmp_path / name, Recorder(), cache=tmp_path / "cache")
        runner.run(outer, arguments)
        states.append({task.state for task in runner.tasks})
    assert states == [{"succeeded"}, {"cached"}]


def test_nothing_of_kfp_is_left_replaced(tmp_path: Path) -> None:
    from kfp.local import subprocess_task_handler
    from kfp.local.orchestrator import task_executor

    before = task_executor.execute_single_task, subprocess_task_handler.run_local_subprocess
    LocalRunner(tmp_path, Recorder()).run(outer, {"value": 1, "path": str(tmp_path / "none")})
    after = task_executor.execute_single_task, subprocess_task_handler.run_local_subprocess
    assert before == after


SLEEPER = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from kfp import dsl
    from kfp_llm_tuning.components.common.images import IMAGE
    from kfp_llm_tuning.pipelines.local_runs.local_runner import LocalRunner

    class Silent:
        def started(self, task): pass
        def printed(self, task, line): print(line, file=sys.__stdout__, flush=True)
        def finished(self, task): pass
        def interrupted(self, again): pass

    @dsl.component(base_image=IMAGE, install_kfp_package=False)
    def sleeper():
        import signal, sys, time
        def stop(*_):
            print("saved", flush=True)
            sys.exit(75)
        signal.signal(signal.SIGTERM, stop)
        print("asleep", flush=True)
        time.sleep(60)

    @dsl.component(base_image=IMAGE, install_kfp_package=False)
    def after():
        pass

    @dsl.pipeline(name="sleepers")
    def sleepers():
        after().after(sleeper())

    runner = LocalRunner(Path(sys.argv[1]), Silent(), shares_imports=sys.argv[2] == "shares")
    succeeded = runner.run(sleepers, {})
    print(succeeded, runner.interrupted, [(t.name, t.state, t.exit_code) for t in runner.tasks])
    """
)


@pytest.fixture(params=["shares", "fresh"])
def sleeping(tmp_path: Path, request: pytest.FixtureRequest) -> subprocess.Popen[str]:
    script = tmp_path / "sleepers.py"
    script.write_text(SLEEPER, encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "run"), request.param],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == "asleep":
            break
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_passed_on_and_ends_the_run(
    sleeping: subprocess.Popen[str], number: signal.Signals
) -> None:
    sleeping.send_signal(number)
    printed, _ = sleeping.communicate(timeout=60)
    assert "saved" in printed
    assert "False True [('sleeper', 'interrupted', 75)" in printed


def test_processes_of_a_killed_run_are_found_and_ended(
    sleeping: subprocess.Popen[str], tmp_path: Path
) -> None:
    sleeping.kill()
    sleeping.wait()
    assert stop_left_behind(tmp_path / "run") >= 1
    assert stop_left_behind(tmp_path / "run") == 0


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def measure(metrics: dsl.Output[dsl.Metrics], ready: bool) -> bool:
    metrics.log_metric("loss", 0.5)
    return ready


@dsl.pipeline(name="conditional")
def conditional(path: str) -> None:
    measured = measure(ready=True)
    with dsl.If(measured.outputs["Output"] == True):  # noqa: E712
        make_number(value=1)
    fail_while(path=path, number=1, code=1).after(measured)


def test_a_task_that_wrote_only_metrics_is_not_done_again(tmp_path: Path) -> None:
    blocker = tmp_path / "blocker"
    blocker.touch()
    assert not LocalRunner(tmp_path / "run", Recorder()).run(conditional, {"path": str(blocker)})
    blocker.unlink()
    second = LocalRunner(tmp_path / "run", Recorder())
    assert second.run(conditional, {"path": str(blocker)})
    states = {task.name: task.state for task in second.tasks}
    assert states == {"measure": "cached", "make-number": "cached", "fail-while": "succeeded"}


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def decide(value: bool) -> NamedTuple("Decision", with_tensorboard=bool, other=str):  # type: ignore[valid-type]
    return value, "x"


@dsl.pipeline(name="decided")
def decided(value: bool) -> None:
    decision = decide(value=value)
    with dsl.If(decision.outputs["with_tensorboard"] == True):  # noqa: E712
        make_number(value=1)


@pytest.mark.parametrize("value", [True, False])
def test_a_condition_on_a_named_output_holds(tmp_path: Path, value: bool) -> None:
    runner = LocalRunner(tmp_path, Recorder())
    assert runner.run(decided, {"value": value})
    assert [task.name for task in runner.tasks] == ["decide"] + ["make-number"] * value


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def add(left: int, right: int) -> int:
    return left + right


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def total(values: list[int]) -> int:
    return int(sum(values))


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def note_end(status: dsl.PipelineTaskFinalStatus) -> str:
    return status.state


def test_a_loops_tasks_get_what_they_are_given_of_outside(tmp_path: Path) -> None:
    @dsl.pipeline(name="loop")
    def loop(numbers: list[int]) -> int:
        made = make_number(value=99)
        with dsl.ParallelFor(numbers) as number:
            added = add(left=number, right=made.output)
        return total(values=dsl.Collected(added.output)).output

    runner = LocalRunner(tmp_path / "run", Recorder())
    assert runner.run(loop, {"numbers": [1, 2]})
    assert sorted(task.outputs["Output"] for task in runner.tasks if task.name == "add") == [
        101,
        102,
    ]
    assert runner.outputs == {"Output": 203}


def test_a_nested_pipeline_takes_no_strangers_values(tmp_path: Path) -> None:
    @dsl.pipeline(name="nested")
    def nested(value: int = 10) -> int:
        return make_number(value=value).output

    @dsl.pipeline(name="around")
    def around(value: int) -> int:
        make_number(value=value)
        return nested().output

    runner = LocalRunner(tmp_path / "run", Recorder())
    assert runner.run(around, {"value": 1})
    assert sorted(task.outputs["Output"] for task in runner.tasks) == [2, 11]


def test_the_end_is_told_of_whatever_happened(tmp_path: Path) -> None:
    @dsl.pipeline(name="told")
    def told(path: str) -> None:
        with dsl.ExitHandler(note_end()):
            fail_while(path=path, number=1, code=13)

    (tmp_path / "file").touch()
    ends = []
    for name in ("none", "file"):
        runner = LocalRunner(tmp_path / f"run-{name}", Recorder())
        succeeded = runner.run(told, {"path": str(tmp_path / name)})
        ends.append((succeeded, runner.tasks[-1].outputs, runner.tasks[-1].state))
    assert ends == [
        (True, {"Output": "SUCCEEDED"}, "succeeded"),
        (False, {"Output": "FAILED"}, "succeeded"),
    ]


def test_an_error_that_a_loop_swallows_is_a_failure(tmp_path: Path) -> None:
    @dsl.pipeline(name="broken")
    def broken(numbers: list[int]) -> None:
        with dsl.ParallelFor(numbers) as number:
            make_number(value=number)

    class Broken(Recorder):
        def started(self, task: TaskResult) -> None:
            raise OSError("nowhere to write to")

    # kfp.local logs it, and no task's process has failed: none was started.
    runner = LocalRunner(tmp_path / "run", Broken())
    assert not runner.run(broken, {"numbers": [1]})
