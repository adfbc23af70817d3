"""The record of a run, and records that are damaged or of another version."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.pipelines.local_runs import run_record
from kfp_llm_tuning.pipelines.local_runs.run_record import RunRecord


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    record = RunRecord("tune-large-model", {"train_steps": 5}, {"team": "a"}, directory="/runs/a")
    run_record.write(tmp_path, record)
    assert run_record.read(tmp_path) == record


def test_a_record_of_an_older_version_is_read(tmp_path: Path) -> None:
    (tmp_path / run_record.FILE).write_text('{"template": "t", "parameters": {}}', encoding="utf-8")
    assert run_record.read(tmp_path) == RunRecord("t", {})


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "damaged"),
        (b"{", "damaged"),
        (b"\xff\xfe\x00", "damaged"),
        (b"[" * 100_000, "damaged"),
        (b"[]", "no JSON object"),
        (b'{"template": "t"}', r"damaged \(parameters\)"),
        (b'{"template": 1, "parameters": []}', r"damaged \(parameters, template\)"),
        (b'{"template": "t", "parameters": {}, "state": "gone", "tasks": 1}', "state, tasks"),
        (b'{"template": "t", "parameters": {}, "device": "x"}', r"newer version \(it has device"),
    ],
)
def test_what_is_no_record_is_told(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / run_record.FILE).write_bytes(content)
    with pytest.raises(UserError, match=f"is no run that can be resumed: .*{reason}"):
        run_record.read(tmp_path)


def test_a_record_that_is_a_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / run_record.FILE).mkdir()
    with pytest.raises(UserError, match="Is a directory"):
        run_record.read(tmp_path)


def test_every_field_is_checked(tmp_path: Path) -> None:
    run_record.write(tmp_path, RunRecord("t", {}))
    written = json.loads((tmp_path / run_record.FILE).read_text(encoding="utf-8"))
    for name in written:
        (tmp_path / run_record.FILE).write_text(json.dumps(written | {name: None}), "utf-8")
        with pytest.raises(UserError, match=name):
            run_record.read(tmp_path)
