"""Small models in the place of the checkpoints that the published model names stand for.

`large_model_reference: text-bison@002`, which is all that the Google SDKs can send, names a
checkpoint of gigabytes on the Hugging Face hub. Here byte-tiny is laid into a cache of the hub
under the name and commit of that checkpoint, and the product finds it as if it had been downloaded.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from kfp_llm_tuning.components.models import byte_tiny
from kfp_llm_tuning.components.models.model_reference import ModelReference
from kfp_llm_tuning.components.models.model_references import names, resolve

_INFILLING_TOKENS = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")


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
    infilling = folder / "byte-tiny-for-code"
    shutil.copytree(model, infilling)
    _teach_infilling(infilling)
    published = [reference for reference in map(resolve, names()) if reference.substitute_for]
    for snapshot, kind in {_snapshot(reference): reference.kind for reference in published}.items():
        shutil.copytree(infilling if kind in ("code", "codechat") else model, folder / snapshot)
    return {"HF_HUB_CACHE": str(folder), "HF_HUB_OFFLINE": "1"}


def _snapshot(reference: ModelReference) -> Path:
    repository = reference.checkpoint.removeprefix("hf://").replace("/", "--")
    return Path(f"models--{repository}") / "snapshots" / reference.revision


def _teach_infilling(folder: Path) -> None:
    """Gives a model the tokens between which models of code are asked to fill a gap."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": list(_INFILLING_TOKENS)})
    model = AutoModelForCausalLM.from_pretrained(folder)
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
