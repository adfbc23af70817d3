"""How far a run is and how long it will still take: its tasks weighted, those at work by steps."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Seconds that a task takes on two cores with a few hundred rows and a small model, mostly for
# importing libraries; how the run's first tasks compare with this tells the machine's pace.
_TYPICAL_SECONDS: Mapping[str, float] = {
    "validate-pipeline": 0.4,
    "export-managed-dataset": 0.1,
    "validate-dataset": 5.0,
    "preprocess-dataset": 1.0,
    "dataset-encoder": 1.5,
    "evaluation-dataset-encoder": 1.5,
    "compose-params-for-model-tuner": 0.3,
    "batch-predict": 8.0,
    "evaluate-model": 4.0,
    "upload-llm-model": 5.0,
    "create-endpoint-and-deploy-model": 3.0,
}
_TYPICAL_OF_OTHERS = 3.0
# How long it takes depends on the model alone: nothing is foretold before its first step.
_UNFORESEEN = "large-language-model-tuner"
# "step 20/300 | ..." of the tuner, "16 of 400 prompts answered ..." of predictions.
_DONE_OF_TOTAL = re.compile(r"^(?:step )?(?P<done>\d+)(?:/| of )(?P<total>\d+)\b")
# kfp tells a component's second use in a graph from the first by this.
_NUMBER = re.compile(r"-\d+$")


@dataclass
class _Work:
    """A task at work.

    Attributes:
        begun: Moment of its start.
        first: Moment and count of the first that it told of what it does now.
        latest: Moment and count of the last.
        total: That it counts to; 0 where it has told nothing.
    """

    begun: float
    first: tuple[float, int] = (0.0, 0)
    latest: tuple[float, int] = (0.0, 0)
    total: int = 0

    def update(self, now: float, done: int, total: int) -> None:
        if total != self.total or done < self.latest[1]:
            self.first, self.total = (now, done), total
        self.latest = (now, done)

    def seconds_left(self, now: float) -> float | None:
        """Gives the time to the total, None before there is a speed."""
        updated, done = self.latest
        if not self.total or done <= self.first[1]:
            return None
        pace = (updated - self.first[0]) / (done - self.first[1])
        return max((self.total - done) * pace - (now - updated), 0.0)


class RunProgress:
    """Estimates a run's remaining time from what its tasks tell.

    Attributes:
        tasks: How many are sure to be done, those done included.
        ended: How many have ended.
    """

    def __init__(self, tasks: Sequence[str], clock: Callable[[], float] = time.monotonic) -> None:
        """Takes the run's tasks.

        Args:
            tasks: Names of all tasks that are sure to come.
            clock: Tells the time in seconds.
        """
        self._clock = clock
        self._begun = clock()
        self._waiting = list(tasks)
        self._at_work: dict[str, _Work] = {}
        self._took: dict[str, float] = {}
        self.tasks = len(self._waiting)
        self.ended = 0

    def started(self, task: str) -> None:
        """A task begins; one that was not sure to come is one more."""
        if task in self._waiting:
            self._waiting.remove(task)
        else:
            self.tasks += 1
        self._at_work[task] = _Work(self._clock())

    def update(self, task: str, text: str) -> None:
        """A task at work says something, maybe how far it is."""
        if (found := _DONE_OF_TOTAL.match(text)) and (work := self._at_work.get(task)):
            work.update(self._clock(), int(found["done"]), int(found["total"]))

    def finished(self, task: str, *, measured: bool) -> None:
        """A task has ended.

        Args:
            task: Its name.
            measured: Whether it was done now, and took the time that such a task takes.
        """
        work = self._at_work.pop(task, None)
        self.ended += 1
        if work and measured:
            self._took[task] = self._clock() - work.begun

    @property
    def seconds(self) -> float:
        """Time since the run began."""
        return self._clock() - self._begun

    @property
    def seconds_left(self) -> float | None:
        """Time to the end of the run; None before it can be told."""
        now = self._clock()
        total = 0.0
        for task, work in self._at_work.items():
            left = work.seconds_left(now)
            if left is None:
                if _kind(task) == _UNFORESEEN:
                    return None
                left = max(self._expected(task) - (now - work.begun), 0.0)
            total += left
        for task in self._waiting:
            if _kind(task) == _UNFORESEEN:
                return None
            total += self._expected(task)
        return total

    @property
    def share(self) -> float | None:
        """Share of the run's time that has passed, 0 to 1; None before it can be told."""
        left = self.seconds_left
        if left is None:
            return None
        return self.seconds / (self.seconds + left) if self.seconds else 0.0

    def _expected(self, task: str) -> float:
        """Estimates a task from its like, else from the pace of all that were done."""
        like = [seconds for done, seconds in self._took.items() if _kind(done) == _kind(task)]
        if like:
            return max(like)
        foreseen = [task for task in self._took if _kind(task) != _UNFORESEEN]
        typical = sum(map(_typical, foreseen))
        took = sum(self._took[task] for task in foreseen)
        return _typical(task) * (took / typical if typical else 1.0)


def sure_tasks(pipeline: Any) -> list[str]:
    """Lists the tasks of a pipeline that no condition and no loop can leave out or repeat.

    Args:
        pipeline: What ``@dsl.pipeline`` made.

    Returns:
        The names as kfp.local gives them, nested pipelines' tasks in the place of these.
    """
    spec = pipeline.pipeline_spec
    return list(_tasks_of(spec.root.dag, spec.components))


def _tasks_of(dag: Any, components: Mapping[str, Any]) -> Iterator[str]:
    for name, task in dag.tasks.items():
        conditional = task.trigger_policy.condition
        repeated = task.WhichOneof("iterator")
        if conditional or repeated:
            continue
        component = components[task.component_ref.name]
        if component.HasField("dag"):
            yield from _tasks_of(component.dag, components)
        else:
            yield name


def _typical(task: str) -> float:
    return _TYPICAL_SECONDS.get(_kind(task), _TYPICAL_OF_OTHERS)


def _kind(task: str) -> str:
    return _NUMBER.sub("", task)
