"""The component, run as a task by kfp.local."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from kfp import dsl, local

from kfp_llm_tuning.components.validation import validate_dataset


@pytest.fixture
def run_locally(tmp_path: Path) -> Path:
    """Sets kfp.local up with a pipeline root of its own."""
    root = tmp_path / "outputs"
    local.init(
        local.SubprocessRunner(use_venv=False), pipeline_root=str(root), raise_on_error=False
    )
    return root


@pytest.mark.slow
def test_good_dataset_succeeds_with_all_outputs(run_locally: Path, tmp_path: Path) -> None:
    file = tmp_path / "train.jsonl"
    rows = ({"input_text": f"question {n}", "output_text": f"answer {n * n}"} for n in range(120))
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    task = validate_dataset(
        dataset_uri=str(file), large_model_reference="byte-tiny", train_steps=30
    )
    summary = json.loads(Path(task.outputs["summary"].path).read_text(encoding="utf-8"))
    assert (summary["valid"], summary["training"]["examples"]) == (True, 120)
    assert summary["steps"]["epochs"] == 2.0
    assert task.outputs["metrics"].metadata["training_examples"] == 120
    assert "Ready to tune on" in Path(task.outputs["report"].path).read_text(encoding="utf-8")


def test_bad_dataset_fails_after_its_outputs_are_written(
    run_locally: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "train.jsonl"
    file.write_text('{"input_text": "a"}\n' * 3, encoding="utf-8")

    @dsl.pipeline
    def check():  # type: ignore[no-untyped-def]  # an annotation would be an output
        validate_dataset(dataset_uri=str(file), large_model_reference="byte-tiny")

    check()
    (summary,) = run_locally.rglob("summary")
    (report,) = run_locally.rglob("report")
    assert json.loads(summary.read_text(encoding="utf-8"))["errors_by_kind"] == {
        "missing_field": 3,
        "too_few_examples": 1,
    }
    assert "Not usable yet: 4 errors" in report.read_text(encoding="utf-8")
    shown = "".join(capfd.readouterr())
    assert "train.jsonl line 1 and 2 more lines, output_text: output_text is missing." in shown
    assert "FAILURE" in shown
    assert "Traceback" not in shown and "Internal error" not in shown
