from __future__ import annotations

import json
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from kfp_llm_tuning.components.tuning.tensorboard_metrics import MetricsWriter

HISTORY = [
    {"step": step, "/train_total_loss": 1 / step, "learning_rate": 0.5, "wall_time": 1e9 + step}
    for step in (10, 20, 30)
]


def read(folder: Path, tag: str) -> list[tuple[int, float, float]]:
    events = EventAccumulator(str(folder))
    events.Reload()
    return [(event.step, event.value, event.wall_time) for event in events.Scalars(tag)]


def test_events_keep_the_published_tags_steps_and_times(tmp_path: Path) -> None:
    writer = MetricsWriter(tmp_path)
    for entry in HISTORY:
        writer.write(entry)
    writer.close()
    found = read(tmp_path, "/train_total_loss")
    assert [step for step, _, _ in found] == [10, 20, 30]
    assert [value for _, value, _ in found] == pytest.approx([1 / 10, 1 / 20, 1 / 30])
    assert [time for _, _, time in found] == [1e9 + 10, 1e9 + 20, 1e9 + 30]
    lines = (tmp_path / "history.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == HISTORY


def test_a_resumed_run_replaces_what_came_after_its_checkpoint(tmp_path: Path) -> None:
    interrupted = MetricsWriter(tmp_path)
    for entry in HISTORY:
        interrupted.write(entry)
    interrupted.close()
    resumed = MetricsWriter(tmp_path, HISTORY[:2])
    resumed.write(HISTORY[2] | {"/train_total_loss": 7.0})
    resumed.close()
    assert [(step, value) for step, value, _ in read(tmp_path, "/train_total_loss")] == [
        (10, pytest.approx(1 / 10)),
        (20, pytest.approx(1 / 20)),
        (30, 7.0),
    ]
    assert len((tmp_path / "history.jsonl").read_text().splitlines()) == 3


def test_a_line_is_on_disk_before_the_next(tmp_path: Path) -> None:
    writer = MetricsWriter(tmp_path)
    writer.write(HISTORY[0])
    assert json.loads((tmp_path / "history.jsonl").read_text()) == HISTORY[0]
    writer.close()
