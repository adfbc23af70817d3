"""Exit codes, and how problems are told."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

import pytest

from kfp_llm_tuning.components.common.errors import (
    PROBLEMS_VARIABLE,
    Problem,
    RunAgain,
    UserError,
    collect,
    exit_on_error,
    raise_all,
    read_problems,
)


def caused_by(cause: Exception) -> Exception:
    error = RuntimeError("cannot save")
    error.__cause__ = cause
    return error


def test_a_problem_is_one_sentence_after_another() -> None:
    problem = Problem("0 is too few.", "train_steps", "1 or more", "Give --train-steps 300.")
    assert str(problem) == (
        "train_steps: 0 is too few. Allowed: 1 or more. Give --train-steps 300."
    )


def test_several_problems_are_counted() -> None:
    error = UserError(Problem("first."), "second.")
    assert str(error) == "2 problems:\n  1. first.\n  2. second."
    assert [problem.what for problem in error.problems] == ["first.", "second."]


def test_an_error_without_problems_is_a_fault_of_ours() -> None:
    with pytest.raises(ValueError, match="at least one"):
        UserError()


def test_raise_all() -> None:
    raise_all([])
    with pytest.raises(UserError, match="one"):
        raise_all([Problem("one.")])


@pytest.mark.parametrize(
    ("error", "code", "told", "traceback"),
    [
        (UserError("no such model."), 1, "Error: no such model.", False),
        (RunAgain("saved at step 5."), 75, "Interrupted: saved at step 5.", False),
        (KeyError("x"), 13, "Internal error:", True),
        (FileNotFoundError(errno.ENOENT, "No such file", "/runs/a"), 13, "Internal error:", True),
        (OSError(errno.ENOSPC, "No space left", "/runs/a"), 1, "/runs/a: No space left.", False),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), 1, "/x: Permission", False),
        (OSError(errno.EROFS, "Read-only file system"), 1, "Error: Read-only file", False),
        (caused_by(OSError(errno.EDQUOT, "Quota")), 1, "Error: Quota.", False),
        # torch.save into a disk that fills up.
        (
            RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 48 vs 36"),
            1,
            "Error: [enforce fail",
            False,
        ),
        (sqlite3.OperationalError("database or disk is full"), 1, "disk is full", False),
    ],
)
def test_exit_codes(
    error: Exception, code: int, told: str, traceback: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught, exit_on_error():
        raise error
    printed = capsys.readouterr().err
    assert caught.value.code == code
    assert told in printed
    assert ("Traceback" in printed) == traceback


def test_collected_problems_are_raised_together() -> None:
    problems: list[Problem] = []
    for number in (1, 2):
        with collect(problems):
            raise UserError(f"{number} is wrong.")
    with collect(problems):
        pass
    with pytest.raises(UserError, match=r"(?s)2 problems.*1 is wrong.*2 is wrong"):
        raise_all(problems)


def test_mistakes_are_handed_to_the_runner_that_asks_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "problems.json"
    problems = (Problem("a", "train_steps", "b", "c"), Problem("d"))
    monkeypatch.setenv(PROBLEMS_VARIABLE, str(told))
    with pytest.raises(SystemExit), exit_on_error():
        raise UserError(*problems)
    assert read_problems(told) == problems
    told.write_text("[1]", encoding="utf-8")
    assert read_problems(told) == ()
    assert read_problems(tmp_path / "none") == ()


def test_a_password_is_in_no_message() -> None:
    uri = "https://ann:s3cret@host/rows"
    error = UserError(Problem(f"cannot read {uri}.", uri, uri, f"Open {uri}."), uri)
    assert "s3cret" not in str(error) + repr(error.problems)
    assert str(error).count("https://ann:***@host/rows") == 5


def test_a_password_is_in_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit), exit_on_error():
        raise RuntimeError("https://ann:s3cret@host refused")
    shown = capsys.readouterr().err
    assert "s3cret" not in shown
    assert "https://ann:***@host refused" in shown
