"""Small models in the place of the checkpoints that the published model names stand for.

`large_model_reference: text-bison@002`, which is all that the Google SDKs can send, names a
checkpoint of gigabytes on the Hugging Face hub. Here byte-tiny is laid into a cache of the hub
under the name and commit of that checkpoint, and the product finds it as if it had been downloaded.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from kfp_llm_tuning.components.tuning import byte_tiny
from kfp_llm_tuning.components.tuning.model_references import ModelReference, names, resolve


def stand_in_models(folder: Path) -> dict[str, str]:
    """Lays out a cache of the hub in which every published name has a small model.

    Args:
        folder: An empty folder, which becomes the cache.

    Returns:
        Environment variables that make a process read this cache and nothing else of the hub; for
        child processes, as huggingface_hub reads them when it is imported.
    """
    model = folder / "byte-tiny"
    model.mkdir()
    byte_tiny.build(model)
    published = [reference for reference in map(resolve, names()) if reference.substitute_for]
    for snapshot in {_snapshot(reference) for reference in published}:
        shutil.copytree(model, folder / snapshot)
    return {"HF_HUB_CACHE": str(folder), "HF_HUB_OFFLINE": "1"}


def _snapshot(reference: ModelReference) -> Path:
    repository = reference.checkpoint.removeprefix("hf://").replace("/", "--")
    return Path(f"models--{repository}") / "snapshots" / reference.revision
