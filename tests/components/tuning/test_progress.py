from __future__ import annotations

import logging

import pytest

from kfp_llm_tuning.components.tuning.progress import Progress, describe, format_seconds

TRAIN = {
    "step": 120,
    "/train_total_loss": 0.4123,
    "/train_fraction_of_correct_next_step_preds": 0.91,
    "tokens_per_second": 12345.4,
}
EVALUATION = {
    "step": 120,
    "/eval_total_loss": 0.5,
    "/eval_fraction_of_correct_next_step_preds": 0.8,
}


def test_a_line_says_all_at_a_glance() -> None:
    assert describe(TRAIN, 1000, 130.0) == (
        "step 120/1000 | loss 0.4123 | correct 0.910 | 12,345 tok/s | 2 min 10 s left"
    )
    assert describe(EVALUATION, 1000, 130.0) == (
        "step 120/1000 | evaluation loss 0.5000 | evaluation correct 0.8000"
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (59.6, "1 min 0 s"),
        (130, "2 min 10 s"),
        (3600, "1 h 0 min"),
        (9000, "2 h 30 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


def test_logs_get_few_lines_but_every_evaluation_and_the_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    progress = Progress(1000, interactive=False)
    progress.begin(0)
    for step in range(1, 1001):
        progress.show(TRAIN | {"step": step})
    progress.show(EVALUATION | {"step": 1000})
    progress.end()
    lines = [record.message for record in caplog.records]
    assert len(lines) == 3
    assert lines[0].startswith("step 1/1000")
    assert lines[1].endswith("0 s left")
    assert "evaluation" in lines[2]


def test_a_terminal_gets_a_bar(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(1000, interactive=True)
    progress.begin(100)
    progress.show(TRAIN)
    progress.end()
    assert "step 120/1000 | loss 0.4123" in capsys.readouterr().out


def test_time_left_counts_this_session_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    progress = Progress(200, interactive=False)
    progress.begin(100)
    now[0] = 150.0  # 50 steps in 50 seconds
    assert progress._seconds_left(150) == pytest.approx(50.0)


def test_a_fall_of_the_speed_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    progress = Progress(1000, interactive=False)
    progress.begin(0)
    for step in range(1, 21):
        progress.show(TRAIN | {"step": step, "tokens_per_second": 900.0 if step < 11 else 200.0})
    (warning,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "The speed fell from 900 to 200 tok/s." in warning.message
