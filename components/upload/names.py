"""Names of registered models, and the ways to point at one version. Imports no MLflow."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kfp_llm_tuning.components.common.errors import Problem, UserError

DEPLOYED_ALIAS = "deployed"
# Vertex AI's limit on display names: a name accepted here is accepted there.
MAX_NAME_LENGTH = 128
# MLflow refuses "/" and ":"; the others have a meaning in its URIs, its search language or in
# our own name@version.
_REPLACED = re.compile(r"[/:@#?%\\\"'`\x00-\x1f\x7f]")
_FORMS = "NAME, NAME@VERSION, NAME@deployed, models/NAME@VERSION, models:/NAME/VERSION"


def registered_name(display_name: str) -> str:
    """Makes the name of the registered model from the display name.

    Args:
        display_name: What the user called the model.

    Returns:
        The name without surrounding blanks; characters that a registry gives a meaning become
        ``-``.

    Raises:
        UserError: If nothing is left, if it is too long, or if it is only dots.
    """
    name = _REPLACED.sub("-", display_name.strip())
    if not name or len(name) > MAX_NAME_LENGTH or not name.strip("."):
        raise UserError(
            Problem(
                f"{display_name!r} cannot name a model.",
                where="model_display_name",
                allowed=f"1 to {MAX_NAME_LENGTH} characters, not only blanks or dots",
            )
        )
    return name


@dataclass(frozen=True)
class ModelAddress:
    """Points at one version of a registered model.

    Attributes:
        name: The registered model.
        version: Version number; empty where an alias or the latest version is meant.
        alias: The alias; empty where a version or the latest version is meant.
    """

    name: str
    version: str = ""
    alias: str = ""

    @property
    def resource_name(self) -> str:
        """``models/NAME@VERSION``, or with the alias; ``models/NAME`` for the latest version."""
        suffix = self.version or self.alias
        return f"models/{self.name}@{suffix}" if suffix else f"models/{self.name}"


def endpoint_name(name: str) -> str:
    """Names the endpoint of a registered model: MLflow's URI of the deployed version."""
    return f"models:/{name}@{DEPLOYED_ALIAS}"


def parse_address(text: str) -> ModelAddress:
    """Reads every way of pointing at a model.

    Args:
        text: ``NAME``, ``NAME@VERSION``, ``NAME@ALIAS``, the same after ``models/``, or MLflow's
            ``models:/NAME/VERSION`` and ``models:/NAME@ALIAS``.

    Returns:
        The address; nothing is looked up.

    Raises:
        UserError: If the text has none of these forms.
    """
    short = text.removeprefix("models:/").removeprefix("models/")
    separator = "/" if text.startswith("models:/") and "/" in short else "@"
    name, found, suffix = short.rpartition(separator)
    if not found:
        name, suffix = short, ""
    if not name or (found and not suffix) or _REPLACED.search(name):
        raise UserError(Problem(f"{text!r} names no model.", where="MODEL", allowed=_FORMS))
    if separator == "/" and suffix == "latest":
        return ModelAddress(name)
    return ModelAddress(name, suffix) if suffix.isdecimal() else ModelAddress(name, alias=suffix)
