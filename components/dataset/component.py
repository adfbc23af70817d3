"""KFP interfaces of the dataset stage."""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import Dataset, Input, Output

from kfp_llm_tuning.components.common.images import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def export_managed_dataset(
    dataset_name: str = "",
    dataset_uri: str = "",
    regional_endpoint: str = "",
    export_directory: str = "",
) -> NamedTuple("Outputs", export_location=str):  # type: ignore[valid-type]
    """Finds the data to tune on; exports a managed dataset first.

    Args:
        dataset_name: Resource name of a Vertex AI managed dataset. Excludes dataset_uri.
        dataset_uri: A file, a folder, a pattern, hf://org/name, or several. Excludes dataset_name.
        regional_endpoint: URL of Vertex AI in the managed dataset's region.
        export_directory: The run's own folder in Cloud Storage, to export to.

    Returns:
        export_location: What dataset_uri says, or the URI of the exported JSONL file.
    """
    from kfp_llm_tuning.components.common.errors import exit_on_error
    from kfp_llm_tuning.components.dataset import export

    with exit_on_error():
        location = export.export_managed_dataset(
            dataset_name, dataset_uri, regional_endpoint, export_directory
        )
    return (location,)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def preprocess_dataset(
    large_model_reference: str,
    preprocessed: Output[Dataset],
    dataset_uri: str = "",
    default_context: str = "",
    held_out_from: str = "",
    evaluation_fraction: float = 0.0,
    seed: int = 0,
    data_version: str = "",
    dataset_format: str = "",
    train_on: str = "all",
) -> None:
    """Turns text rows or conversations into prompts and completions.

    Args:
        large_model_reference: The model whose chat template writes the prompts.
        dataset_uri: A file, a folder, a pattern, hf://org/name, or several; empty for no set.
        default_context: Context of conversations that have none of their own.
        held_out_from: The training set whose held-out rows are written, where dataset_uri is empty
            and evaluation_fraction is not 0.
        evaluation_fraction: Share of the rows that is held out to evaluate on: left out of
            dataset_uri, or taken from held_out_from.
        seed: Of the choice of what is held out.
        data_version: Of validate-pipeline; another version is another task for KFP's cache.
        dataset_format: What the rows are written in; empty to find it from the rows.
        train_on: Which answers of a conversation are learned: all or last.
        preprocessed: Folder with records.jsonl and info.json.
    """
    from kfp_llm_tuning.components.common.errors import exit_on_error
    from kfp_llm_tuning.components.dataset.stages import preprocess_for_model

    with exit_on_error():
        facts = preprocess_for_model(
            dataset_uri,
            preprocessed.path,
            large_model_reference,
            default_context,
            held_out_from,
            evaluation_fraction,
            seed,
            dataset_format,
            train_on,
        )
    preprocessed.metadata.update(facts)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def dataset_encoder(
    preprocessed: Input[Dataset],
    large_model_reference: str,
    encoded: Output[Dataset],
    tuning_method: str = "tune_v2",
    max_context_length: str = "",
    accelerator_type: str = "GPU",
) -> None:
    """Tokenises the training set, within the model's limits for inputs and outputs.

    Args:
        preprocessed: Output of preprocess-dataset.
        large_model_reference: The model that is tuned.
        tuning_method: The limits of the legacy method "tune" are lower.
        max_context_length: "8k", "32k", or empty for the model's own.
        accelerator_type: "TPU" or "GPU"; the limits of the legacy method depend on it.
        encoded: Folder with Arrow data and encoding.json.
    """
    from kfp_llm_tuning.components.common.errors import exit_on_error
    from kfp_llm_tuning.components.dataset.stages import encode_for_model

    with exit_on_error():
        facts = encode_for_model(
            preprocessed.path,
            encoded.path,
            large_model_reference,
            tuning_method,
            accelerator_type,
            max_context_length,
        )
    encoded.metadata.update(facts)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def evaluation_dataset_encoder(
    preprocessed: Input[Dataset],
    large_model_reference: str,
    encoded: Output[Dataset],
    tuning_method: str = "tune_v2",
    max_context_length: str = "",
    accelerator_type: str = "GPU",
) -> None:
    """Tokenises the evaluation set as dataset-encoder does the training set; it may be empty.

    Args:
        preprocessed: Output of preprocess-dataset.
        large_model_reference: The model that is tuned.
        tuning_method: The limits of the legacy method "tune" are lower.
        max_context_length: "8k", "32k", or empty for the model's own.
        accelerator_type: "TPU" or "GPU"; the limits of the legacy method depend on it.
        encoded: Folder with Arrow data and encoding.json; the latter alone where the set is empty.
    """
    from kfp_llm_tuning.components.common.errors import exit_on_error
    from kfp_llm_tuning.components.dataset.stages import encode_for_model

    with exit_on_error():
        facts = encode_for_model(
            preprocessed.path,
            encoded.path,
            large_model_reference,
            tuning_method,
            accelerator_type,
            max_context_length,
        )
    encoded.metadata.update(facts)
