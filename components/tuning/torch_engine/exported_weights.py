"""Writes weights of a model that no process holds whole, tensor by tensor, as the base has them.

Names are those of the base's own files; a file of the outcome is what the first process holds at
once. Adapters are merged into the weights that the files hold, not into those that were trained
beside, which may be in 4 bits: in float32, then rounded once to the base's type.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.wording import first_few
from kfp_llm_tuning.components.models.checkpoint_files import WEIGHT_INDEX, WEIGHTS, local_files
from kfp_llm_tuning.components.models.safetensors_header import Tensor
from kfp_llm_tuning.components.models.weights import read_tensors
from kfp_llm_tuning.components.tuning.weight_files import write_weights

# What names in one decoder layer begin with.
_LAYER = re.compile(r".*?\.\d+\.")


def architecture(causal: Any) -> str:
    """Names a model's class as its configuration does; that of a sharded one has another name."""
    return type(causal).__name__.removeprefix("FSDP")


def check_mergeable(model: Any, base: Path) -> None:
    """Checks before training that adapters can be merged into the base's files.

    Args:
        model: A PEFT model.
        base: The base model's folder.

    Raises:
        UserError: If the files hold weights by other names than the model does.
    """
    absent = sorted(_adapted(model).keys() - _tensors(base).keys())
    if absent:
        raise UserError(
            Problem(
                f"the checkpoint holds {first_few(absent)} under other names, or several in one, "
                "so adapters cannot be merged into its files.",
                "large_model_reference",
                fix="Use sharding none without load_in_4bit, or save the model again with this "
                "version of transformers and give that.",
            )
        )


def write_merged_weights(model: Any, base: Path, folder: Path, dtype: torch.dtype) -> None:
    """Writes the base's weights with adapters merged into them; one process does it alone.

    Args:
        model: A PEFT model; see :func:`check_mergeable`.
        base: The base model's folder.
        folder: Where to write.
        dtype: Type of the written weights.

    Raises:
        UserError: If a merged weight is not finite.
    """
    from safetensors import safe_open

    adapted = _adapted(model)
    file_of = _files_of_tensors(base)

    def read(name: str) -> torch.Tensor:
        with safe_open(base / file_of[name], framework="pt") as file:
            weight: torch.Tensor = file.get_tensor(name)
        layer = adapted.get(name)
        return _as(weight if layer is None else _merged(layer, weight, name), dtype)

    _write(_tensors(base), read, folder, dtype)


def write_shared_weights(model: Any, base: Path, folder: Path | None, dtype: torch.dtype) -> None:
    """Gathers and writes a sharded model, a tensor at a time; every process must call it.

    Args:
        model: A sharded model without adapters, settled.
        base: The base model's folder.
        folder: Where to write; None in all processes but one.
        dtype: Type of the written weights.
    """
    from torch.distributed.tensor import DTensor

    weights = model.state_dict()

    def gather(name: str) -> torch.Tensor:
        weight = _as(weights[name].detach(), dtype)
        whole: torch.Tensor = weight.full_tensor() if isinstance(weight, DTensor) else weight
        return whole.cpu()

    names = {name: tensor for name, tensor in _tensors(base).items() if name in weights}
    once = weights.keys() - model.all_tied_weights_keys.keys()
    if once <= names.keys():
        _write(names, gather, folder, dtype)
        return
    shapes = {name: tuple(weights[name].shape) for name in sorted(once)}
    converted = _ConvertedLayers(model, shapes, gather)
    _write(converted.tensors, converted.read, folder, dtype)


class _ConvertedLayers:
    """Weights that were converted at loading, perhaps many into one, under the names of the files.

    Conversions stay within a decoder layer: one layer at a time is converted back, and held.

    Attributes:
        tensors: What the files will hold, a layer's together.
    """

    def __init__(
        self,
        model: Any,
        shapes: Mapping[str, tuple[int, ...]],
        gather: Callable[[str], torch.Tensor],
    ) -> None:
        """Finds the files' names.

        Args:
            model: Of transformers.
            shapes: By the model's own names.
            gather: Reads a weight by the model's own name; every process must call it.
        """
        self._model = model
        self._gather = gather
        self._held: Mapping[str, torch.Tensor] = {}
        self._layer_of: dict[str, list[str]] = {}
        self.tensors: dict[str, Tensor] = {}
        layers: dict[str, list[str]] = {}
        for name in shapes:
            numbered = _LAYER.match(name)
            layers.setdefault(numbered[0] if numbered else "", []).append(name)
        for layer in layers.values():
            empty = {name: torch.empty(shapes[name], device="meta") for name in layer}
            for name, tensor in self._reverted(empty).items():
                self.tensors[name] = Tensor("", tuple(tensor.shape))
                self._layer_of[name] = layer

    def read(self, name: str) -> torch.Tensor:
        """Reads a weight by a file's name; every process must call it, in the same order."""
        if name not in self._held:
            self._held = {}
            self._held = self._reverted({own: self._gather(own) for own in self._layer_of[name]})
        return self._held[name]

    def _reverted(self, weights: dict[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
        from transformers.core_model_loading import revert_weight_conversion

        reverted: Mapping[str, torch.Tensor] = revert_weight_conversion(self._model, weights)
        return reverted


def _write(
    tensors: Mapping[str, Tensor],
    read: Callable[[str], torch.Tensor],
    folder: Path | None,
    dtype: torch.dtype,
) -> None:
    from safetensors.torch import save_file

    def save(part: dict[str, torch.Tensor], path: Path) -> None:
        save_file(part, path, metadata={"format": "pt"})

    write_weights(
        {name: tensor.shape for name, tensor in tensors.items()},
        dtype.itemsize,
        lambda name: read(name).contiguous(),
        save,
        folder,
    )


def _adapted(model: Any) -> dict[str, Any]:
    """Finds the layers with adapters, by the names of the weights that they are beside."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    return {
        f"{name}.weight": module
        for name, module in model.get_base_model().named_modules()
        if isinstance(module, BaseTunerLayer)
    }


def _merged(layer: Any, weight: torch.Tensor, name: str) -> torch.Tensor:
    merged = weight.float()
    for adapter in layer.active_adapters:
        merged += layer.get_delta_weight(adapter).detach().float().cpu()
    if not merged.isfinite().all():
        what = f"{name} with its adapter is not finite."
        raise UserError(Problem(what, "learning_rate", "a lower one"))
    return merged


def _as(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def _tensors(base: Path) -> dict[str, Tensor]:
    return read_tensors(local_files(base), base.name)


def _files_of_tensors(base: Path) -> dict[str, str]:
    if (base / WEIGHTS).exists():
        return dict.fromkeys(_tensors(base), WEIGHTS)
    index = json.loads((base / WEIGHT_INDEX).read_text(encoding="utf-8"))
    return dict(index["weight_map"])
