"""A tuned model as the earlier stages leave it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from kfp_llm_tuning.components.models.model_references import resolve
from kfp_llm_tuning.components.upload.mlflow_registry import Upload
from tests.components.upload.vertex_tasks import answer
from tests.vertex.local_vertex import LocalVertex

PROVENANCE = {
    "model_reference": "text-bison@002",
    "checkpoint": "builtin://byte-tiny",
    "prompt_format": "plain",
    "max_input_tokens": 64,
    "max_output_tokens": 8,
    "parameters": {"train_steps": 3, "learning_rate": 0.001},
    "dataset": {"examples": 12, "source_uri": "train.jsonl", "source_sha256": "ab12"},
    "metrics": {"loss": 1.5},
    "steps": 3,
}


@pytest.fixture
def upload(tmp_path: Path, registry_uri: str) -> Upload:
    """An upload of a small folder; the weights are no weights, which a registry never reads."""
    model, metrics, evaluation = (tmp_path / name for name in ("model", "metrics", "evaluation"))
    (model / "adapter").mkdir(parents=True)
    for name in ("config.json", "tokenizer.json", "adapter/adapter_config.json"):
        (model / name).write_text("{}")
    (model / "model.safetensors").write_bytes(b"weights" * 1000)
    (model / "README.md").write_text("# Card")
    (model / "tuning.json").write_text(json.dumps(PROVENANCE))
    metrics.mkdir()
    history = [
        {"step": step, "/train_total_loss": 4.0 / step, "/eval_total_loss": 5.0 / step}
        for step in range(1, 4)
    ]
    (metrics / "history.jsonl").write_text("\n".join(map(json.dumps, history)))
    evaluation.mkdir()
    figures = {"metrics": {"exact_match": {"base": 0.0, "tuned": 0.75}}}
    (evaluation / "evaluation.json").write_text(json.dumps(figures))
    (evaluation / "report.html").write_text("<p>better</p>")
    (tmp_path / "validation.html").write_text("<p>valid</p>")
    return Upload(
        saved_model=model,
        tensorboard_metrics=metrics,
        evaluation=evaluation,
        display_name="intents",
        reference=resolve("text-bison@002"),
        run_id="run-1",
        registry_uri=registry_uri,
        reports={"validation.html": tmp_path / "validation.html"},
        labels={"team": "support"},
    )


@pytest.fixture
def vertex_server(vertex_server: LocalVertex) -> Iterator[LocalVertex]:
    """A local Vertex AI that holds nothing, and whose deployed models answer."""
    vertex_server.predict_with(answer)
    yield vertex_server
    vertex_server.predict_with(None)
