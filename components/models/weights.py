"""The weights of a checkpoint, as far as their index and headers tell: complete and whole."""

from __future__ import annotations

from collections.abc import Callable, Collection

from kfp_llm_tuning.components.common.errors import Problem, UserError, collect, raise_all
from kfp_llm_tuning.components.common.wording import first_few
from kfp_llm_tuning.components.models.checkpoint_files import (
    ADAPTER_CONFIG,
    WEIGHT_INDEX,
    WEIGHTS,
    Files,
)
from kfp_llm_tuning.components.models.json_files import read_object
from kfp_llm_tuning.components.models.safetensors_header import Tensor, read_header

_PICKLE_ENDINGS = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def read_tensors(files: Files, place: str) -> dict[str, Tensor]:
    """Reads which tensors the weights hold, of every file that transformers would load.

    Args:
        files: The checkpoint's files.
        place: Names the checkpoint in messages.

    Returns:
        The tensors by name.

    Raises:
        UserError: With every problem: no safetensors, files or tensors that the index names and
            that are missing, files that are not whole.
    """
    check_weight_names(files, place)
    if WEIGHTS in files:
        return read_header(files[WEIGHTS], f"{place}/{WEIGHTS}")
    return _read_shards(files, place)


def check_weight_names(names: Collection[str], place: str) -> None:
    """Checks that there are weights of a kind that is read.

    Args:
        names: Of all the checkpoint's files.
        place: Names the checkpoint in messages.

    Raises:
        UserError: If there are none; other forms of weights are named.
    """
    if WEIGHTS not in names and WEIGHT_INDEX not in names:
        raise UserError(_no_weights(names, place))


def has_all_weights(files: Files) -> bool:
    """Tells whether every file of weights is there, by name. Raises as `read_tensors`."""
    if WEIGHTS in files:
        return True
    return WEIGHT_INDEX in files and set(_weight_map(files, "").values()) <= files.keys()


def _read_shards(files: Files, place: str) -> dict[str, Tensor]:
    shard_of = _weight_map(files, place)
    names = sorted(set(shard_of.values()))
    problems: list[Problem] = []
    tensors: dict[str, Tensor] = {}
    missing = [name for name in names if name not in files]
    if missing:
        what = f"lacks {len(missing)} of {len(names)} files of weights: {first_few(missing)}."
        problems.append(Problem(what, place, fix="Copy the model again, with all its files."))
    for name in names:
        if name in files:
            with collect(problems):
                tensors |= read_header(files[name], f"{place}/{name}")
    raise_all(problems)
    absent = sorted(shard_of.keys() - tensors.keys())
    if absent:
        what = f"lacks {len(absent)} tensors that its index names: {first_few(absent)}."
        raise UserError(Problem(what, place, fix="Copy the model again."))
    return tensors


def _weight_map(files: Files, place: str) -> dict[str, str]:
    where = f"{place}/{WEIGHT_INDEX}"
    found = read_object(files[WEIGHT_INDEX], where).get("weight_map")
    if not isinstance(found, dict) or not found or not all(map(_is_name, found.values())):
        raise UserError(Problem("names no files of weights.", where, "weight_map: {tensor: file}"))
    return found


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value) and "/" not in value


def _no_weights(names: Collection[str], place: str) -> Problem:
    for applies, problem in _OTHER_FORMS:
        found = [name for name in names if applies(name)]
        if found:
            return problem(place, first_few(found))
    return Problem(
        "has no *.safetensors.", place, f"{WEIGHTS}, or {WEIGHT_INDEX} and the files it names"
    )


def _adapter(place: str, _: str) -> Problem:
    return Problem(
        "is a PEFT adapter, not a model.",
        place,
        "a whole model",
        "Merge it into its base: AutoPeftModelForCausalLM.from_pretrained(FOLDER)"
        ".merge_and_unload().save_pretrained(OUTPUT).",
    )


def _misnamed(place: str, names: str) -> Problem:
    what = f"has {names}, but neither {WEIGHTS} nor {WEIGHT_INDEX}."
    return Problem(what, place, fix="Copy the model again, with its index, or save it again.")


def _gguf(place: str, names: str) -> Problem:
    return Problem(
        f"has its weights only as {names}: GGUF is for inference, mostly quantised.",
        place,
        "*.safetensors",
        "Choose the checkpoint that it was made from.",
    )


def _pickled(place: str, names: str) -> Problem:
    return Problem(
        f"has its weights only as {names}: such files can run any code when they are read, and are "
        "refused.",
        place,
        "*.safetensors",
        "Convert it on a machine that trusts it: model.save_pretrained(FOLDER).",
    )


_OTHER_FORMS: tuple[tuple[Callable[[str], bool], Callable[[str, str], Problem]], ...] = (
    (lambda name: name == ADAPTER_CONFIG, _adapter),
    (lambda name: name.endswith(".safetensors"), _misnamed),
    (lambda name: name.endswith(".gguf"), _gguf),
    (lambda name: name.endswith(_PICKLE_ENDINGS), _pickled),
)
