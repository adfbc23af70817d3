"""The pipeline's task: what it writes, and what makes it fail."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.models.checkpoint_problems import CheckpointUnreachable
from kfp_llm_tuning.components.validation.dataset import Request
from kfp_llm_tuning.components.validation.task import validate_to_files


def test_a_model_that_does_not_answer_ends_the_run_here_and_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise CheckpointUnreachable(
            Problem("cannot download it.", "large_model_reference", fix="Copy it.")
        )

    monkeypatch.setattr("kfp_llm_tuning.components.models.base_models.small_files", fail)
    rows = ({"input_text": f"question {n * 7919}", "output_text": str(n * n)} for n in range(100))
    file = tmp_path / "train.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    request = Request(str(file), large_model_reference="qwen3-0.6b")
    summary = tmp_path / "summary.json"
    with pytest.raises(UserError) as caught:
        validate_to_files(request, str(summary), str(tmp_path / "page"), lambda *_: None)
    (problem,) = caught.value.problems
    assert "the model could not be checked" in problem.what
    assert problem.fix == "Copy it."
    assert json.loads(summary.read_text())["model_unchecked"] == "cannot download it"
