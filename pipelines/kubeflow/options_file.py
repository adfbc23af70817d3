"""Reads the options of a Kubeflow cluster: options.yaml, and a user's file over it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from kfp_llm_tuning.components.common.documents import parse_yaml, read_text
from kfp_llm_tuning.components.common.errors import Problem, raise_all
from kfp_llm_tuning.pipelines.kubeflow.option_checks import check_options, check_schema
from kfp_llm_tuning.pipelines.kubeflow.options import KubeflowOptions

DEFAULTS = Path(__file__).with_name("options.yaml")


def default_options() -> KubeflowOptions:
    """Gives the options of options.yaml."""
    return options_from({})


def read_options(path: Path) -> KubeflowOptions:
    """Reads a user's options.

    Args:
        path: YAML; what it leaves out is as in options.yaml.

    Returns:
        The options.

    Raises:
        UserError: If the file cannot be read, and for everything in it that cannot be.
    """
    document = parse_yaml(read_text(path), str(path))
    return options_from({} if document is None else document, str(path))


def options_from(given: Any, where: str = "") -> KubeflowOptions:
    """Makes options of what a file holds.

    Args:
        given: What a user's file holds.
        where: The file's name, for messages.

    Returns:
        The options.

    Raises:
        UserError: For everything that cannot be.
    """
    import msgspec

    raise_all(list(_located(check_schema(given, _schema()), where)))
    options = msgspec.convert(_merged(_defaults(), given), KubeflowOptions)
    raise_all(list(_located(check_options(options), where)))
    return options


@cache
def _defaults() -> Any:
    import yaml

    return yaml.safe_load(DEFAULTS.read_text(encoding="utf-8"))


@cache
def _schema() -> Any:
    return json.loads(DEFAULTS.with_suffix(".schema.json").read_text(encoding="utf-8"))


def _merged(defaults: Any, given: Any) -> Any:
    """Puts a user's values over the defaults; a map that is empty there is the user's alone."""
    if not isinstance(defaults, dict) or not isinstance(given, dict):
        return given
    return {**defaults, **{name: _merged(defaults.get(name), given[name]) for name in given}}


def _located(problems: Iterator[Problem], where: str) -> Iterator[Problem]:
    for problem in problems:
        place = ": ".join(part for part in (where, problem.where) if part)
        yield dataclasses.replace(problem, where=place)
