"""Resolves ``large_model_reference``: which checkpoint is tuned, with which limits and defaults."""

from __future__ import annotations

import dataclasses
import os
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.tables import load_table
from kfp_llm_tuning.components.models.learning_rates import rates_by_size
from kfp_llm_tuning.components.models.model_reference import ModelReference
from kfp_llm_tuning.components.parameters.pipeline import TEXT
from kfp_llm_tuning.components.parameters.reading import limit_problems

ACCELERATORS = ("TPU", "GPU")
# Input and output tokens together; the first is 8,192 input tokens besides the output.
CONTEXT_LENGTHS = {"8k": 8192, "32k": 32_768}
# Resource names that clients put in front of published names.
_PUBLISHER_PREFIX = "publishers/google/models/"
_PATH_BEGINNINGS = ("/", "./", "../", "~")
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_TABLE = Path(__file__).with_name("model_references.yaml")
# Label values of Vertex AI: lower-case letters, digits, "_" and "-", at most 63.
_LABEL_LENGTH = 63


def names() -> list[str]:
    """Lists every name of the table, the published ones first."""
    return [*_published_names(), *load_table(_TABLE)["models"]]


def resolve(
    reference: str,
    tuning_method: str = "tune_v2",
    accelerator: str = "GPU",
    max_context_length: str = "",
) -> ModelReference:
    """Finds the model that a reference names.

    Args:
        reference: A name of the table, also ``NAME@latest``; ``hf://organisation/name@revision``;
            a ``gs://`` or ``s3://`` folder; a local folder (``/...``, ``./...``, ``~/...``, or
            any other path where there is one).
        tuning_method: A choice of the root input.
        accelerator: "TPU" or "GPU"; the limits of the method ``tune`` depend on it.
        max_context_length: "8k", "32k", or empty for the model's own.

    Returns:
        The model with the limits and defaults of the method and context length.

    Raises:
        UserError: With every problem found; an unknown name gets the nearest known ones.
    """
    problems = [
        *limit_problems(tuning_method, TEXT["tuning_method"]),
        *limit_problems(max_context_length, TEXT["max_context_length"]),
    ]
    try:
        entry = _find(reference)
    except UserError as error:
        raise UserError(*error.problems, *problems) from None
    if problems:
        raise UserError(*problems)
    if tuning_method == "tune":
        return _with_legacy_method(entry.reference, accelerator, max_context_length)
    model = entry.with_context_length(max_context_length)
    if tuning_method in ("adapter", "full"):
        rate = entry.learning_rates[tuning_method]
        model = dataclasses.replace(model, tuning=tuning_method, learning_rate=rate)
    return model


@dataclass(frozen=True)
class _Entry:
    """A model of the table with what only some methods need."""

    reference: ModelReference
    learning_rates: dict[str, float]
    long_context_batch_sizes: dict[str, int]

    def with_context_length(self, length: str) -> ModelReference:
        model = self.reference
        if length == "8k":
            limit = min(model.max_input_tokens, CONTEXT_LENGTHS["8k"])
            return dataclasses.replace(model, max_input_tokens=limit)
        if length == "32k":
            if 0 < model.context_tokens < CONTEXT_LENGTHS["32k"]:
                raise UserError(
                    Problem(
                        f"{model.name} has a context of {model.context_tokens:,} tokens.",
                        "max_context_length",
                        "8k, or empty for the model's own",
                        "Choose a model with a longer context.",
                    )
                )
            return _with_long_context(model, self.long_context_batch_sizes)
        return model


def _with_long_context(model: ModelReference, batch_sizes: dict[str, int]) -> ModelReference:
    limit = CONTEXT_LENGTHS["32k"] - model.max_output_tokens
    return dataclasses.replace(model, max_input_tokens=limit, batch_sizes=batch_sizes)


def _with_legacy_method(
    model: ModelReference, accelerator: str, max_context_length: str
) -> ModelReference:
    legacy = load_table(_TABLE)["published"]["legacy"]
    if not model.substitute_for:
        raise UserError(
            Problem(
                f"'tune' is the published models' former method; {model.name} is none of them.",
                "tuning_method",
                "tune_v2, adapter, full",
            )
        )
    if max_context_length == "32k" or "-32k" in model.name:
        raise UserError(
            Problem("'tune' has no 32k context.", "tuning_method", "tune_v2, adapter, full")
        )
    return dataclasses.replace(model, train_steps=legacy["train_steps"], **legacy[accelerator])


def _find(reference: str) -> _Entry:
    name = reference.strip().removeprefix(_PUBLISHER_PREFIX)
    if "://" in name or name.startswith(_PATH_BEGINNINGS):
        return _direct(name)
    key = name.lower().removesuffix("@latest")
    key = _dash_names().get(key, key)
    if key in _published_names():
        return _published(key, *_published_names()[key])
    model = _open_names().get(_slug(key)) if "@" not in key else None
    # Path.is_dir raises for a name that is too long.
    if model is None and os.path.isdir(name):  # noqa: PTH112
        return _direct(f"./{name}")
    if model is None:
        raise UserError(_unknown_reference(name))
    table = load_table(_TABLE)
    values = table["defaults"] | {"revision": "main"} | table["models"][model]
    return _entry(values, name=model, label=_label(model, "latest"))


@cache
def _published_names() -> dict[str, tuple[str, str]]:
    """Maps every published name to its family and version."""
    published = load_table(_TABLE)["published"]
    return {
        family + version: (family, version)
        for family in published["families"]
        for version in published["versions"]
    }


@cache
def _dash_names() -> dict[str, str]:
    """Maps the published names with a dash before the version, text-bison-001, to the others."""
    return {name.replace("@", "-"): name for name in _published_names()}


@cache
def _open_names() -> dict[str, str]:
    """Maps the spelling in labels, which have no dots, to the names of open models."""
    return {_slug(name): name for name in load_table(_TABLE)["models"]}


def _published(name: str, family: str, version: str) -> _Entry:
    published = load_table(_TABLE)["published"]
    variant = published["versions"][version]
    common = {key: published[key] for key in ("train_steps", "learning_rates", "tuning")}
    entry = _entry(
        common | published["families"][family] | variant,
        name=name,
        label=family + variant["label"],
        substitute_for=name,
        long_context_batch_sizes=published["versions"]["-32k"]["batch_sizes"],
    )
    if not variant.get("long_context"):
        return entry
    model = _with_long_context(entry.reference, variant["batch_sizes"])
    return dataclasses.replace(entry, reference=model)


def _direct(reference: str) -> _Entry:
    from fsspec.registry import known_implementations

    scheme = reference.partition("://")[0] if "://" in reference else "file"
    if scheme != "hf" and scheme not in known_implementations:
        raise UserError(
            Problem(
                f"{reference!r} has the unknown scheme {scheme}://.",
                "large_model_reference",
                "hf://, gs://, s3://, or another that fsspec opens",
            )
        )
    checkpoint, revision = reference.removeprefix("file://").rstrip("/") or "/", ""
    if reference.startswith("hf://"):
        checkpoint, _, revision = checkpoint.partition("@")
        if not _HUB_NAME.fullmatch(checkpoint.removeprefix("hf://")):
            raise UserError(
                Problem(
                    f"{reference!r} names no repository of the hub.",
                    "large_model_reference",
                    "hf://organisation/name or hf://organisation/name@revision",
                )
            )
        revision = revision or "main"
        label = _label(checkpoint.removeprefix("hf://"), revision)
    else:
        label = _label(checkpoint.rpartition("/")[2], "latest")
    values = _values_of(checkpoint) | {"checkpoint": checkpoint, "revision": revision}
    return _entry(values, name=reference, label=label)


def _values_of(checkpoint: str) -> dict[str, Any]:
    """Takes what the table says of a checkpoint given directly: itself, or its size."""
    table = load_table(_TABLE)
    for model in table["models"].values():
        if model["checkpoint"] == checkpoint:
            return {**table["defaults"], **model}
    rates = rates_by_size(checkpoint, table["learning_rates_by_size"])
    own = {"learning_rates": rates} if rates else {}
    return {**table["defaults"], **own}


def _entry(
    values: dict[str, Any],
    name: str,
    label: str,
    substitute_for: str = "",
    long_context_batch_sizes: dict[str, int] | None = None,
) -> _Entry:
    reference = ModelReference(
        name=name,
        checkpoint=values["checkpoint"],
        revision=values["revision"],
        kind=values["kind"],
        max_input_tokens=values["max_input_tokens"],
        max_output_tokens=values["max_output_tokens"],
        context_tokens=values.get("context_tokens", 0),
        batch_sizes=values["batch_sizes"],
        train_steps=values["train_steps"],
        learning_rate=values["learning_rates"][values["tuning"]],
        tuning=values["tuning"],
        checkpoint_selection=values["checkpoint_selection"],
        license=values.get("license", ""),
        substitute_for=substitute_for,
        label=label,
    )
    return _Entry(
        reference, values["learning_rates"], long_context_batch_sizes or values["batch_sizes"]
    )


def _label(name: str, version: str) -> str:
    """Writes NAME-VERSION as a label value; clients split it at the last "-"."""
    slug = _slug(name) or "model"
    ending = re.sub(r"[^a-z0-9_]+", "_", version.lower())[:20]
    return f"{slug[: _LABEL_LENGTH - 1 - len(ending)].rstrip('-')}-{ending}"


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9_]+", "-", name.lower()).strip("-")


def _unknown_reference(name: str) -> Problem:
    from rapidfuzz import fuzz, process

    allowed = (
        "a name of model_references.yaml, hf://organisation/name@revision, gs://..., s3://..., "
        "a folder that is there, or a path that begins with / or ./"
    )
    if not name:
        return Problem("is empty.", "large_model_reference", allowed)
    if _HUB_NAME.fullmatch(name.partition("@")[0]):
        nearest = [f"hf://{name}", f"./{name}"]
    else:
        found = process.extract(name.lower(), names(), scorer=fuzz.ratio, limit=3, score_cutoff=60)
        nearest = [match for match, _, _ in found]
    fix = f"Did you mean {' or '.join(nearest)}?" if nearest else ""
    return Problem(f"no model is called {name!r}.", "large_model_reference", allowed, fix)
