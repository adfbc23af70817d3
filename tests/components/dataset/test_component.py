# No `from __future__ import annotations`: kfp reads the pipelines' real annotations.
from pathlib import Path

import pytest
from kfp import dsl, local
from kfp.dsl import Dataset

from kfp_llm_tuning.components import dataset
from kfp_llm_tuning.components.data.artifacts import load_sequences, read_encoding


@pytest.fixture
def output_folder(tmp_path):
    """Runs components in processes of their own, on this machine."""
    folder = tmp_path / "output"
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(folder))
    return folder


@pytest.mark.parametrize(
    ("name", "inputs", "outputs"),
    [
        (
            "export_managed_dataset",
            {"dataset_name", "dataset_uri", "regional_endpoint", "export_directory"},
            {"export_location"},
        ),
        (
            "preprocess_dataset",
            {
                "large_model_reference",
                "dataset_uri",
                "default_context",
                "held_out_from",
                "evaluation_fraction",
                "seed",
                "data_version",
                "dataset_format",
                "train_on",
            },
            {"preprocessed"},
        ),
        (
            "dataset_encoder",
            {
                "preprocessed",
                "large_model_reference",
                "tuning_method",
                "max_context_length",
                "accelerator_type",
            },
            {"encoded"},
        ),
    ],
)
def test_interface(name, inputs, outputs):
    spec = getattr(dataset, name).component_spec
    assert spec.name == name.replace("_", "-")
    assert set(spec.inputs or {}) == inputs
    assert set(spec.outputs or {}) == outputs


def test_both_encoders_have_the_same_interface():
    training = dataset.dataset_encoder.component_spec
    evaluation = dataset.evaluation_dataset_encoder.component_spec
    assert evaluation.name == "evaluation-dataset-encoder"
    assert (evaluation.inputs, evaluation.outputs) == (training.inputs, training.outputs)


def test_from_a_file_to_tokens(output_folder, write_rows):
    uri = write_rows([{"input_text": str(n), "output_text": "x" * n} for n in range(1, 11)])

    @dsl.pipeline
    def encode(dataset_uri: str) -> Dataset:
        exported = dataset.export_managed_dataset(dataset_uri=dataset_uri)
        preprocessed = dataset.preprocess_dataset(
            large_model_reference="byte-tiny", dataset_uri=exported.outputs["export_location"]
        )
        return dataset.dataset_encoder(
            preprocessed=preprocessed.outputs["preprocessed"], large_model_reference="byte-tiny"
        ).outputs["encoded"]

    encoded = encode(dataset_uri=uri).output
    assert len(load_sequences(Path(encoded.path))) == 10
    encoding = read_encoding(Path(encoded.path))
    assert encoded.metadata["content_hash"] == encoding.content_hash
    assert (encoded.metadata["examples"], encoded.metadata["tokens"]) == (10, encoding.tokens)


def test_no_evaluation_set(output_folder):
    @dsl.pipeline
    def encode() -> Dataset:
        preprocessed = dataset.preprocess_dataset(large_model_reference="byte-tiny")
        return dataset.evaluation_dataset_encoder(
            preprocessed=preprocessed.output, large_model_reference="byte-tiny"
        ).outputs["encoded"]

    encoded = encode().output
    assert encoded.metadata["examples"] == 0
    assert read_encoding(Path(encoded.path)).examples == 0


def test_a_users_mistake_is_told_without_a_traceback(output_folder, capfd):
    with pytest.raises(RuntimeError):
        dataset.export_managed_dataset(dataset_name="projects/1/locations/x/datasets/2")
    printed = "".join(capfd.readouterr())
    assert "Error: dataset_name: projects/1/locations/x/datasets/2" in printed
    assert "Traceback" not in printed.partition("Error: dataset_name")[0]
