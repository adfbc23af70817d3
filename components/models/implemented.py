"""What is implemented: implemented.yaml, asked by whatever accepts, prices or starts something."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.images import REGISTRY, image_name
from kfp_llm_tuning.components.common.tables import load_table

_TABLE = Path(__file__).with_name("implemented.yaml")
_EVERY = "*"
# Adapters beside frozen weights in 4 bits.
FOUR_BIT = "4bit"
_VERBS = {"": "runs", "tune": "tunes", "predict": "predicts", "serve": "serves"}
_WORDS = {
    "family": "models of the type {}",
    "method": "by the method {}",
    "accelerator": "on {}",
    "platform": "on the platform {}",
}


@dataclass(frozen=True)
class Implementation:
    """One row of the table: what one engine does in one stage.

    Attributes:
        stage: tune, predict or serve.
        engine: The library that computes.
        images: Image by accelerator ("GPU", "TPU", "CPU"): a target of ``images/Containerfile``.
        platforms: Where it runs: local, kubeflow, vertex.
        families: Values of ``model_type`` in a checkpoint's config.json; "*" is every decoder-only
            language model that the engine has the architecture of.
        methods: "adapter", "full", "4bit"; empty for stages that tune nothing.
    """

    stage: str
    engine: str
    images: Mapping[str, str]
    platforms: tuple[str, ...]
    families: tuple[str, ...]
    methods: tuple[str, ...] = ()

    def does(self, *, accelerator: str, platform: str, family: str, method: str) -> bool:
        """Tells whether the row has a combination; an empty value is not asked about."""
        return all(
            not asked or asked in known or _EVERY in known
            for asked, known in (
                (accelerator, self.images),
                (platform, self.platforms),
                (family, self.families),
                (method, self.methods),
            )
        )


def implementations(
    stage: str = "",
    *,
    accelerator: str = "",
    platform: str = "",
    family: str = "",
    method: str = "",
) -> list[Implementation]:
    """Finds what does something; an empty argument is not asked about.

    Args:
        stage: tune, predict or serve.
        accelerator: "GPU", "TPU" or "CPU".
        platform: local, kubeflow or vertex.
        family: ``model_type`` of the checkpoint's config.json.
        method: "adapter" or "full".

    Returns:
        The rows that have it all; none where nothing of ours does it.
    """
    return [
        row
        for row in _rows()
        if stage in ("", row.stage)
        and row.does(accelerator=accelerator, platform=platform, family=family, method=method)
    ]


def accelerators(stage: str, platform: str = "") -> list[str]:
    """Lists what a stage runs on.

    Args:
        stage: tune, predict or serve.
        platform: local, kubeflow or vertex; empty for any.

    Returns:
        "CPU", "GPU" ..., each once, in the table's order.
    """
    found = implementations(stage, platform=platform)
    return list(dict.fromkeys(name for row in found for name in row.images))


def families(stage: str, accelerator: str = "") -> list[str]:
    """Lists the models that a stage takes.

    Args:
        stage: tune, predict or serve.
        accelerator: "GPU", "TPU" or "CPU"; empty for any.

    Returns:
        Values of ``model_type``, each once, in the table's order; "*" is every decoder-only one.
    """
    found = implementations(stage, accelerator=accelerator)
    return list(dict.fromkeys(name for row in found for name in row.families))


def image_kinds(accelerator: str = "") -> set[str]:
    """Names the images that hold an engine for an accelerator, or for any."""
    return {
        image
        for row in implementations(accelerator=accelerator)
        for name, image in row.images.items()
        if accelerator in ("", name)
    }


def no_engine(
    stage: str, accelerator: str, *, platform: str = "", family: str = "", method: str = ""
) -> str:
    """Says that nothing of ours does something; an empty argument is not asked about.

    Args:
        stage: tune, predict or serve; empty for any.
        accelerator: "GPU", "TPU" or "CPU".
        platform: local, kubeflow or vertex.
        family: ``model_type`` of the checkpoint's config.json.
        method: "adapter" or "full".

    Returns:
        A sentence that begins with a small letter, for the place is told before it; what it names
        is no more than what stands in the way. Empty where something of ours does it.
    """
    asked = {"family": family, "method": method, "accelerator": accelerator, "platform": platform}
    if implementations(stage, **asked):
        return ""
    alone = {
        name: value for name, value in asked.items() if not implementations(stage, **{name: value})
    }
    named = alone or asked
    words = " ".join(_WORDS[name].format(value) for name, value in named.items() if value)
    return f"no engine of this version {_VERBS[stage]} {words}."


def tuner_image(accelerator: str, registry: str = REGISTRY) -> str:
    """Names the image that a tuning job runs in.

    Args:
        accelerator: "GPU", "TPU" or "CPU".
        registry: Where the images are.

    Returns:
        The full name.

    Raises:
        UserError: If nothing tunes on that accelerator.
    """
    return _image("tune", accelerator, registry)


def prediction_image(accelerator: str, registry: str = REGISTRY) -> str:
    """Names the image that predictions run in where a platform runs images.

    Args:
        accelerator: "GPU", "TPU" or "CPU".
        registry: Where the images are.

    Returns:
        The full name.

    Raises:
        UserError: If nothing predicts on that accelerator.
    """
    return _image("predict", accelerator, registry)


def _image(stage: str, accelerator: str, registry: str) -> str:
    found = implementations(stage, accelerator=accelerator)
    if not found:
        what = no_engine(stage, accelerator)
        raise UserError(Problem(what, "machine", ", ".join(accelerators(stage))))
    return image_name(found[0].images[accelerator], registry)


def _rows() -> list[Implementation]:
    return [
        Implementation(
            stage=row["stage"],
            engine=row["engine"],
            images=row["images"],
            platforms=tuple(row["platforms"]),
            families=tuple(row["families"]),
            methods=tuple(row.get("methods", ())),
        )
        for row in load_table(_TABLE)["rows"]
    ]
