"""The stages for a model named by its reference: finds its tokenizer and limits, then runs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kfp_llm_tuning.components.common.train_on import TrainOn
from kfp_llm_tuning.components.data.artifacts import read_records_info
from kfp_llm_tuning.components.dataset.encode import Limits, encode_dataset, encode_nothing
from kfp_llm_tuning.components.dataset.preprocess import (
    Part,
    Source,
    preprocess_dataset,
    write_no_records,
)
from kfp_llm_tuning.components.models.base_models import tokenizer_folder
from kfp_llm_tuning.components.models.model_references import resolve
from kfp_llm_tuning.components.models.tokenizer import load_tokenizer


def preprocess_for_model(
    dataset_uri: str,
    folder: str,
    large_model_reference: str,
    default_context: str = "",
    held_out_from: str = "",
    evaluation_fraction: float = 0.0,
    seed: int = 0,
    dataset_format: str = "",
    train_on: str = "all",
) -> dict[str, Any]:
    """Writes the records of a dataset for a model (see `preprocess_dataset`).

    Args:
        dataset_uri: The dataset, as `data.sources.files.list_files` takes it; empty for no set.
        folder: Where the records go.
        large_model_reference: The model whose prompts are written.
        default_context: Context of conversations that have none of their own.
        held_out_from: The training set whose held-out rows are the dataset, where there is no
            other and a share is held out.
        evaluation_fraction: The share that is held out; 0 for none.
        seed: Of the choice of what is held out.
        dataset_format: As in `Source`.
        train_on: As in `Source`; what is held out is asked whole.

    Returns:
        Metadata of the output artifact.

    Raises:
        UserError: As `preprocess_dataset` and `resolve`.
    """
    reference = resolve(large_model_reference)
    uri = dataset_uri or (held_out_from if evaluation_fraction else "")
    if uri:
        part = Part(evaluation_fraction, seed, held_out=not dataset_uri)
        source = Source(
            uri, large_model_reference, default_context, part, dataset_format, TrainOn(train_on)
        )
        tokenizer = load_tokenizer(tokenizer_folder(reference))
        info = preprocess_dataset(source, tokenizer, Path(folder))
    else:
        info = write_no_records(large_model_reference, Path(folder))
    return {
        "examples": info.examples,
        "prompt_format": info.prompt_format,
        "source_sha256": info.source_sha256,
    }


def encode_for_model(
    records_folder: str,
    folder: str,
    large_model_reference: str,
    tuning_method: str,
    accelerator_type: str,
    max_context_length: str,
) -> dict[str, Any]:
    """Encodes records within a model's limits (see `encode_dataset`).

    Args:
        records_folder: What preprocessing wrote.
        folder: Where the encoded set goes.
        large_model_reference: The model that is tuned.
        tuning_method: As in `resolve`.
        accelerator_type: As in `resolve`.
        max_context_length: As in `resolve`.

    Returns:
        Metadata of the output artifact.

    Raises:
        UserError: As `encode_dataset` and `resolve`.
    """
    reference = resolve(large_model_reference, tuning_method, accelerator_type, max_context_length)
    limits = Limits(reference.max_input_tokens, reference.max_output_tokens)
    if read_records_info(Path(records_folder)).examples:
        tokenizer = load_tokenizer(tokenizer_folder(reference))
        encoding = encode_dataset(Path(records_folder), tokenizer, limits, Path(folder))
    else:
        encoding = encode_nothing(limits, Path(folder))
    return {
        "examples": encoding.examples,
        "tokens": encoding.tokens,
        "content_hash": encoding.content_hash,
    }
