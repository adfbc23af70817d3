"""The process of a task on this machine: KFP's executor, with the records of libraries named.

KFP writes no logger's name into a task's log. Here what a library logs has its logger's name in the
prefix, so that the log has everything and a person is shown what the component says.
"""

from __future__ import annotations

import logging
import sys
import sysconfig

# As kfp/dsl/executor_main.py has it, which readers of logs know; the name is ours.
_OWN_PREFIX = "[KFP Executor %(asctime)s %(levelname)s]: "
_LIBRARY_PREFIX = "[KFP Executor %(asctime)s %(levelname)s %(logger)s]: "
_OURS = "kfp_llm_tuning"
_LIBRARY_FOLDERS = tuple(
    sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib")
)


class TaskFormatter(logging.Formatter):
    """Writes each line of a record with its time and level, and a library's with its name."""

    def format(self, record: logging.LogRecord) -> str:
        """Writes one record, every line of it with the prefix."""
        record.asctime = self.formatTime(record)
        prefix = _OWN_PREFIX % vars(record)
        if _is_library(record):
            record.logger = record.module if record.name == "root" else record.name
            prefix = _LIBRARY_PREFIX % vars(record)
        text = super().format(record)
        return "\n".join(prefix + line for line in text.split("\n"))


def _is_library(record: logging.LogRecord) -> bool:
    """Whether installed code that is not this project's logged it."""
    ours = record.name.partition(".")[0] == _OURS
    return not ours and record.pathname.startswith(_LIBRARY_FOLDERS)


def prepare_logging() -> None:
    """Sets up what the executor would: what it configures after this has no effect."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(TaskFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def execute() -> None:
    """Does what ``sys.argv`` asks KFP's executor for."""
    from kfp.dsl.executor_main import executor_main

    executor_main()


def main() -> None:
    """Does what ``python -m kfp.dsl.executor_main`` does."""
    prepare_logging()
    execute()


if __name__ == "__main__":
    main()
