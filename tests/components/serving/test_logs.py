"""Log lines as JSON."""

from __future__ import annotations

import datetime
import json
import logging
import sys
from typing import Any

from kfp_llm_tuning.components.serving.logs import JsonFormatter


def line(message: str, *arguments: Any, **others: Any) -> dict[str, Any]:
    record = logging.LogRecord("name", logging.WARNING, "file.py", 1, message, arguments, None)
    vars(record).update(others)
    text = JsonFormatter().format(record)
    assert "\n" not in text
    text.encode("ascii")
    written: dict[str, Any] = json.loads(text)
    return written


def test_one_line_with_all_that_was_given() -> None:
    written = line("hello %s", "world", request_id="r1", tokens=5, color_message="red")
    time = datetime.datetime.fromisoformat(written.pop("time"))
    assert abs(datetime.datetime.now(datetime.UTC) - time) < datetime.timedelta(minutes=1)
    assert written == {
        "severity": "WARNING",
        "logger": "name",
        "message": "hello world",
        "request_id": "r1",
        "tokens": 5,
    }


def test_line_breaks_and_broken_unicode_stay_in_the_line() -> None:
    assert line("a\nb\u2028c\ud800")["message"] == "a\nb\u2028c\ud800"


def test_what_json_does_not_know_is_written_as_text() -> None:
    assert line("x", thing={1}, other=object)["thing"] == "{1}"


def test_traceback_of_an_exception() -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        written = line("failed", exc_info=sys.exc_info())
    assert written["message"] == "failed"
    assert "ValueError: broken" in written["exception"]
