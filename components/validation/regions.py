"""The regions of regions.yaml and the rules that hang on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kfp_llm_tuning.components.common.errors import Problem
from kfp_llm_tuning.components.common.tables import load_table
from kfp_llm_tuning.components.common.wording import did_you_mean, short
from kfp_llm_tuning.components.models.implemented import implementations

# What the published templates call them.
ACCELERATORS = ("TPU", "GPU")


def regions() -> list[str]:
    """Lists the regions that pipelines run in and models are uploaded to."""
    return list(_table()["regions"])


def encryption_region() -> str:
    """Names the one region whose pipelines may use a customer-managed encryption key."""
    return str(_table()["encryption_region"])


def region_problem(region: str, where: str) -> Problem | None:
    """Checks a region's name.

    Args:
        region: The name.
        where: The parameter that gave it.

    Returns:
        What is wrong, with the nearest known name, or None.
    """
    if region in regions():
        return None
    return Problem(
        f"{short(region)} is no supported region.",
        where,
        ", ".join(regions()),
        did_you_mean(region.strip().lower(), regions()),
    )


def accelerator_problem(accelerator_type: str, pipeline_region: str) -> Problem | None:
    """Checks that the accelerator is known, or follows from the pipeline's region.

    Args:
        accelerator_type: "TPU" or "GPU" in any case, or empty.
        pipeline_region: The pipeline's region.

    Returns:
        What is wrong, or None where :func:`accelerator` has an answer.
    """
    if accelerator_type:
        if accelerator(accelerator_type, pipeline_region):
            return None
        return Problem(
            f"{accelerator_type!r} is unknown.",
            "accelerator_type",
            ", ".join(offered_accelerators()),
        )
    if pipeline_region in _table()["default_accelerators"]:
        return None
    choices = " or ".join(
        f"{kind} (the default in {region})"
        for region, kind in _table()["default_accelerators"].items()
        if kind in offered_accelerators()
    )
    return Problem(
        f"is empty, and the region {pipeline_region!r} has no default accelerator.",
        "accelerator_type",
        choices,
    )


def accelerator(accelerator_type: str, pipeline_region: str) -> str:
    """Decides which accelerator tunes.

    Args:
        accelerator_type: "TPU" or "GPU" in any case, or empty.
        pipeline_region: Decides where the type is empty.

    Returns:
        "TPU", "GPU", or empty where nothing decides.
    """
    if accelerator_type:
        name = accelerator_type.upper()
        return name if name in ACCELERATORS else ""
    return str(_table()["default_accelerators"].get(pipeline_region, ""))


def offered_accelerators() -> list[str]:
    """Lists the values of ``accelerator_type`` that something of ours tunes on."""
    return [name for name in ACCELERATORS if implementations("tune", accelerator=name)]


def _table() -> Any:
    return load_table(Path(__file__).with_name("regions.yaml"))
