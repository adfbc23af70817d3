"""Which lines of a task a person is shown, and how the task's process tells them apart."""

from __future__ import annotations

import logging
import sysconfig

import pytest

from kfp_llm_tuning.pipelines.local_runs.task_lines import LineFilter, LogLine
from kfp_llm_tuning.pipelines.local_runs.task_process import TaskFormatter
from tests.pipelines.local_runs.executor_output import EXECUTOR_OUTPUT


def told(text: str) -> list[LogLine]:
    line_filter = LineFilter()
    return [found for line in text.splitlines() if (found := line_filter.filter(line))]


def test_only_the_component_speaks() -> None:
    assert told(EXECUTOR_OUTPUT) == [
        LogLine("step 10/60 | loss 4.1222"),
        LogLine("a plain line with [brackets]"),
        LogLine("few examples", warning=True),
        LogLine("the cache is damaged", warning=True),
    ]


LIBRARY = f"{sysconfig.get_path('purelib')}/matplotlib/font_manager.py"


@pytest.mark.parametrize(
    ("logger", "path", "level", "shown"),
    [
        ("matplotlib.font_manager", LIBRARY, logging.INFO, False),
        ("root", LIBRARY, logging.INFO, False),
        ("sacrebleu", LIBRARY, logging.WARNING, True),
        ("kfp_llm_tuning.components.tuning.progress", LIBRARY, logging.INFO, True),
        ("my_components.clean", "/home/me/my_components/clean.py", logging.INFO, True),
        ("root", "/tmp/tmp.x/ephemeral_component.py", logging.INFO, True),
    ],
)
def test_libraries_are_told_from_components(
    logger: str, path: str, level: int, shown: bool
) -> None:
    record = logging.LogRecord(logger, level, path, 1, "first\n%s", ("second",), None)
    written = TaskFormatter().format(record)
    assert [line.text for line in told(written)] == ["first", "second"] * shown
    assert ("font_manager" in written) == (not shown)
