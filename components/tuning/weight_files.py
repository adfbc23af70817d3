"""Writes weights in Hugging Face layout, of any library: a file, or several and their index."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from math import prod
from pathlib import Path
from typing import TypeVar

from kfp_llm_tuning.components.models.checkpoint_files import WEIGHT_INDEX, WEIGHTS

# Of one file, as transformers and the hub have it for models that are to be loaded by others.
MOST_FILE_BYTES = 5 * 10**9
_Tensor = TypeVar("_Tensor")


def write_weights(
    shapes: Mapping[str, tuple[int, ...]],
    itemsize: int,
    read: Callable[[str], _Tensor],
    save: Callable[[dict[str, _Tensor], Path], None],
    folder: Path | None,
) -> None:
    """Writes tensors; a file of the outcome is what the writing process holds at once.

    Args:
        shapes: Of all tensors, in the order of the files.
        itemsize: Bytes of an element.
        read: Gives a tensor by its name. It is called for every tensor in the same order, also
            where nothing is written: another process may need its part.
        save: Writes a file of tensors.
        folder: Where to write; None in processes that do not write.
    """
    from huggingface_hub import split_state_dict_into_shards_factory

    split = split_state_dict_into_shards_factory(
        dict(shapes),
        get_storage_size=lambda shape: prod(shape) * itemsize,
        filename_pattern=WEIGHTS.replace(".safetensors", "{suffix}.safetensors"),
        max_shard_size=MOST_FILE_BYTES,
    )
    for file, names in split.filename_to_tensors.items():
        part = {}
        for name in names:
            tensor = read(name)
            if folder is not None:
                part[name] = tensor
        if folder is not None:
            save(part, folder / file)
    if folder is not None and split.is_sharded:
        index = {"metadata": split.metadata, "weight_map": split.tensor_to_filename}
        text = json.dumps(index, indent=2, sort_keys=True)
        (folder / WEIGHT_INDEX).write_text(text + "\n", encoding="utf-8")
