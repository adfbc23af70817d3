from __future__ import annotations

import json
import math

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.evaluation import prediction
from kfp_llm_tuning.components.evaluation.artifacts import read_predictions
from kfp_llm_tuning.components.evaluation.local_model import BaseModelReference
from kfp_llm_tuning.components.evaluation.prediction import answer_limit, batch_predict

TRAINING = [(f"say {word} {n}", word) for word in ("yes", "no", "maybe") for n in range(4)]
EVALUATION = [("say yes", "yes"), ("say no", "no"), ("say yes", "no"), ("s" * 100, "yes")]
GENERATION = [(f"count {n}", f"answer number {n} " * 3) for n in range(4)]


def test_classification_scores_every_label(preprocess, model_folder, tmp_path):
    output = tmp_path / "predictions"
    info = batch_predict(
        preprocess("evaluation", EVALUATION), preprocess("training", TRAINING), model_folder, output
    )
    found = read_predictions(output)
    assert found.info == info
    assert info.labels == ["maybe", "no", "yes"]
    assert (info.examples, info.duplicate_prompts, info.tuned) == (4, 1, True)
    assert (info.truncated_inputs, info.truncated_input_lines) == (1, [4])
    assert [row.line for row in found.predictions] == [1, 2, 3, 4]
    assert [row.reference for row in found.predictions] == [output for _, output in EVALUATION]
    for row, scores in zip(found.predictions, found.label_scores, strict=True):
        number = info.labels.index(row.reference)
        assert row.reference_log_likelihood == scores.log_likelihoods[number]
        assert math.isclose(sum(scores.probabilities), 1.0)
        ratio = math.log(scores.probabilities[0] / scores.probabilities[1])
        difference = scores.log_likelihoods[0] - scores.log_likelihoods[1]
        assert math.isclose(ratio, difference, rel_tol=1e-6)
        assert row.reference_tokens == len(row.reference) + 1


def test_generation_scores_references_only(preprocess, model_folder, tmp_path):
    output = tmp_path / "predictions"
    info = batch_predict(
        preprocess("evaluation", GENERATION), preprocess("training", []), model_folder, output
    )
    found = read_predictions(output)
    assert info.labels == []
    assert not (output / "labels.jsonl").exists()
    assert all(row.reference_log_likelihood < 0 for row in found.predictions)
    # 48 bytes and no end: the model's limit is 24.
    assert (info.truncated_outputs, info.truncated_output_lines) == (4, [1, 2, 3, 4])
    assert {row.reference_tokens for row in found.predictions} == {24}
    assert info.max_new_tokens == 24
    assert info.unfinished == sum(not row.finished for row in found.predictions)
    assert all(row.tokens <= 24 for row in found.predictions)


def test_a_base_model_is_found_by_its_reference(preprocess, model_folder, tmp_path):
    info = batch_predict(
        preprocess("evaluation", GENERATION),
        preprocess("training", []),
        BaseModelReference(str(model_folder)),
        tmp_path / "predictions",
    )
    assert not info.tuned
    assert info.truncated_outputs == 0
    assert info.max_new_tokens == 2 * 49 + 16


def test_without_an_evaluation_set_no_model_is_loaded(preprocess, tmp_path, monkeypatch):
    monkeypatch.setattr(prediction, "_predict", None)
    output = tmp_path / "predictions"
    info = batch_predict(
        preprocess("evaluation", []),
        preprocess("training", TRAINING),
        BaseModelReference("no such model"),
        output,
    )
    assert info.examples == 0
    assert json.loads((output / "info.json").read_text())["examples"] == 0
    assert read_predictions(output).predictions == []


def test_a_folder_that_is_no_tuned_model(preprocess, tmp_path):
    with pytest.raises(UserError, match=r"is no tuned model.*saved_model"):
        batch_predict(
            preprocess("evaluation", EVALUATION),
            preprocess("training", TRAINING),
            tmp_path,
            tmp_path / "predictions",
        )


@pytest.mark.parametrize(
    ("lengths", "limit", "expected"), [([3, 10, 4], 1024, 36), ([600, 2], 1024, 1024), ([1], 9, 9)]
)
def test_answers_are_bounded(lengths, limit, expected):
    assert answer_limit([[0] * length for length in lengths], limit) == expected


def test_a_chat_templates_end_is_no_part_of_references_and_labels(
    model_folder, tmp_path, preprocess
):
    import shutil

    from kfp_llm_tuning.components.dataset.preprocess import Source, preprocess_dataset
    from kfp_llm_tuning.components.models.tokenizer import load_tokenizer

    folder = tmp_path / "chat-model"
    shutil.copytree(model_folder, folder)
    tokenizer = load_tokenizer(folder)
    tokenizer.chat_template = (
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}[end]{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    tokenizer.save_pretrained(folder)
    preprocess("rows", EVALUATION * 2)
    records = tmp_path / "records"
    preprocess_dataset(Source(str(tmp_path / "rows.jsonl"), "byte-tiny"), tokenizer, records)
    info = batch_predict(records, records, folder, tmp_path / "predictions")
    assert info.labels == ["no", "yes"]
    found = read_predictions(tmp_path / "predictions").predictions
    assert {row.reference for row in found} == {"no", "yes"}
    assert found[0].prompt.endswith("[assistant]")
