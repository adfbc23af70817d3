# No `from __future__ import annotations`: kfp reads the pipelines' real annotations.
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from kfp import dsl, local
from kfp.dsl import Artifact, Dataset, Model

from kfp_llm_tuning.components.evaluation import (
    batch_predict,
    evaluate_model,
    prediction_resources,
)

ROWS = [(f"say {word} {n}", word) for word in ("yes", "no") for n in range(4)]


def test_interface():
    predict, evaluate = batch_predict.component_spec, evaluate_model.component_spec
    assert (predict.name, evaluate.name) == ("batch-predict", "evaluate-model")
    assert predict.inputs["saved_model"].optional
    required = {name for name, given in predict.inputs.items() if not given.optional}
    assert required == {"evaluation_records", "training_records"}
    # On their own the components fail; only our pipelines go on without an evaluation.
    for component in (predict, evaluate):
        assert component.inputs["continue_on_failure"].default is False
    assert set(evaluate.outputs) == {
        "metrics",
        "classification_metrics",
        "report",
        "evaluation",
        "gate_passed",
        "gate_reason",
    }


@pytest.fixture
def compare_models(tmp_path, model_folder, history_folder):
    """Predicts with the tiny model as base and as tuned model, and compares: as pipelines do."""
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(tmp_path / "output"))

    @dsl.pipeline
    def pipeline(
        evaluation_uri: str, training_uri: str, model_uri: str, history_uri: str, metric: str
    ) -> bool:
        records = {
            "evaluation_records": dsl.importer(
                artifact_uri=evaluation_uri, artifact_class=Dataset
            ).output,
            "training_records": dsl.importer(
                artifact_uri=training_uri, artifact_class=Dataset
            ).output,
        }
        model = dsl.importer(artifact_uri=model_uri, artifact_class=Model)
        history = dsl.importer(artifact_uri=history_uri, artifact_class=Artifact)
        base = batch_predict(model_reference=str(model_folder), **records)
        tuned = batch_predict(saved_model=model.output, **records)
        compared = evaluate_model(
            base_predictions=base.outputs["predictions"],
            tuned_predictions=tuned.outputs["predictions"],
            tensorboard_metrics=history.output,
            training_records=records["training_records"],
            gate_metric=metric,
            output_root_dir=str(tmp_path / "copies"),
            run_id="run-1",
        )
        return compared.outputs["gate_passed"]

    def run(evaluation: Path, training: Path, metric: str = ""):
        task = pipeline(
            evaluation_uri=str(evaluation),
            training_uri=str(training),
            model_uri=str(model_folder),
            history_uri=str(history_folder),
            metric=metric,
        )
        folder = next((tmp_path / "output").glob("*/evaluate-model"))
        return task.output, folder

    return run


def test_base_and_tuned_are_compared(compare_models, preprocess, tmp_path):
    rows = preprocess("rows", ROWS)
    passed, folder = compare_models(rows, rows)
    assert passed is True
    outputs = json.loads((folder / "executor_output.json").read_text())["artifacts"]
    metrics = outputs["metrics"]["artifacts"][0]["metadata"]
    assert metrics["examples"] == 8
    assert (metrics["primary_metric"], metrics["primary"]) == (
        "exact_match",
        metrics["exact_match"],
    )
    # The evaluation set is the training set.
    assert metrics["baseline_nearest_example"] == 1.0
    assert metrics["baseline_majority_answer"] == 0.5
    assert 0 < metrics["logLoss"] < 50
    curve = outputs["classification_metrics"]["artifacts"][0]["metadata"]
    assert [spec["displayName"] for spec in curve["confusionMatrix"]["annotationSpecs"]] == [
        "no",
        "yes",
    ]
    assert len(curve["confidenceMetrics"]) > 1
    content = json.loads((folder / "evaluation/evaluation.json").read_text())
    assert content["task"] == "classification"
    assert content["alarms"][-1]["message"].startswith("The tuned model (0) is not above a trivial")
    assert (content["base"]["info"]["tuned"], content["tuned"]["info"]["tuned"]) == (False, True)
    assert (folder / "report").read_text() == (folder / "evaluation/report.html").read_text()
    copies = tmp_path / "copies" / "run-1"
    assert json.loads((copies / "evaluation/evaluation.json").read_text()) == content
    for model in ("base", "tuned"):
        lines = (copies / f"{model}_predictions/predictions.jsonl").read_text().splitlines()
        assert len(lines) == len(ROWS)


def test_without_an_evaluation_set_a_gate_does_not_pass(compare_models, preprocess):
    passed, folder = compare_models(preprocess("none", []), preprocess("rows", ROWS), "bleu")
    assert passed is False
    assert "no evaluation set" in (folder / "report").read_text()


def test_pods_ask_for_accelerators_only_where_there_is_something_to_predict(preprocess):
    asked = {"accelerators": 1, "cpu": "4", "memory": "24Gi", "idle_cpu": "1", "idle_memory": "4Gi"}
    settle = prediction_resources.python_func
    for rows, expected in ((ROWS, ("1", "4", "24Gi")), ([], ("0", "1", "4Gi"))):
        records = SimpleNamespace(path=str(preprocess("rows" if rows else "none", rows)))
        assert settle(records, **asked) == expected
