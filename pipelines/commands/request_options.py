"""The options that say what to tune, alike in every command that runs or sends a pipeline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click

from kfp_llm_tuning.components.common.documents import size_problems, value_problems
from kfp_llm_tuning.components.common.errors import Problem, UserError, collect
from kfp_llm_tuning.components.common.wording import short
from kfp_llm_tuning.components.parameters.pipeline import TEMPLATES, TEXT
from kfp_llm_tuning.components.parameters.row import Parameter
from kfp_llm_tuning.components.parameters.tuner import FURTHER_ARGUMENTS
from kfp_llm_tuning.pipelines.commands.completion import complete_choices, complete_model_references
from kfp_llm_tuning.pipelines.requests.request import (
    Request,
    read_parameters_file,
    read_request,
)
from kfp_llm_tuning.pipelines.requests.request_defaults import completed
from kfp_llm_tuning.pipelines.requests.tuner_arguments import put_over

# The parameters that the shell completes; a URI of another place is a path like any other text.
_COMPLETED: dict[str, dict[str, Any]] = {
    "dataset_uri": {"type": click.Path(), "metavar": "URI"},
    "evaluation_data_uri": {"type": click.Path(), "metavar": "URI"},
    "evaluation_output_root_dir": {"type": click.Path(file_okay=False), "metavar": "URI"},
    "large_model_reference": {"shell_complete": complete_model_references, "metavar": "REF"},
}
# What the commands do without them, which is not the template's default: requests/run_length.py.
_DEFAULTS = {
    "train_steps": "what is advised for the task found in the data; 300 for closed models and "
    "--request",
    "epochs": "none",
}
# More than these make a help text unreadable.
_LISTED_CHOICES = 5


@dataclass(frozen=True)
class RequestSource:
    """Where a request comes from; what stands later here takes the place of what stands before.

    Attributes:
        request_file: A published REST body.
        params: Parameters, YAML or JSON.
        options: Parameters given as options.
        template: The pipeline's name; None where the model decides.
        labels: KEY=VALUE, as given.
    """

    request_file: Path | None
    params: Path | None
    options: dict[str, Any]
    template: str | None
    labels: tuple[str, ...]

    @property
    def empty(self) -> bool:
        """Whether nothing at all was given."""
        given = (self.request_file, self.params, self.options, self.template, self.labels)
        return not any(given)


def request_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --template, --params, --request, --label and an option for every parameter.

    Args:
        command: Takes ``template``, ``params``, ``request_file``, ``labels`` and, as further
            keywords, the parameters.

    Returns:
        The command with the options.
    """
    for parameter in reversed([*TEXT.values(), *FURTHER_ARGUMENTS.values()]):
        # Values stay text until the template is known: one place converts and checks them all.
        option = click.option(
            parameter.option, parameter.name, help=_help(parameter), **_appearance(parameter)
        )
        command = option(command)
    path = click.Path(path_type=Path)
    for option in (
        click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="Repeatable."),
        click.option("--request", "request_file", type=path, help="A published REST body."),
        click.option("--params", type=path, help="Parameters, YAML or JSON."),
        click.option(
            "--template", type=click.Choice(list(TEMPLATES)), help="[default: by the model]"
        ),
    ):
        command = option(command)
    return command


def _help(parameter: Parameter) -> str:
    default = _DEFAULTS.get(parameter.name) or parameter.decided_by or parameter.default
    facts = [] if default in (None, "", {}) else [f"default: {default}"]
    if parameter.limits and not (parameter.choices or parameter.allowed):
        facts.append(parameter.limits)
    return parameter.help + (f"  [{'; '.join(facts)}]" if facts else "")


def _appearance(parameter: Parameter) -> dict[str, Any]:
    """Says how an option is shown and completed."""
    choices = [choice for choice in parameter.choices if choice]
    if parameter.type is bool:
        choices = ["true", "false"]
    if choices:
        complete = partial(complete_choices, choices)
        listed = f"[{'|'.join(choices)}]" if len(choices) <= _LISTED_CHOICES else "NAME"
        return {"metavar": listed, "shell_complete": complete}
    shown = {int: "INTEGER", float: "FLOAT", dict: "JSON"}.get(parameter.type, "TEXT")
    return {"metavar": shown, **_COMPLETED.get(parameter.name, {})}


def gather_request(source: RequestSource, *, advise_steps: bool = True) -> Request:
    """Reads what is to be tuned.

    Args:
        source: Where the request comes from.
        advise_steps: Whether the task found in the data decides on the steps of a request that
            says nothing of them, and is no published body.

    Returns:
        The request; its values are neither checked nor completed, and what is wrong with files and
        labels is among its problems.

    Raises:
        UserError: If nothing was given, or nothing that can be read.
    """
    problems: list[Problem] = []
    base = None
    values: dict[str, Any] = {}
    labels: dict[str, str] = {}
    if source.request_file:
        with collect(problems):
            base = read_request(source.request_file)
            values |= base.values
            labels |= base.labels
            problems += base.problems
    if source.params:
        with collect(problems):
            given = read_parameters_file(source.params)
            values, twice = put_over(values, given, str(source.params))
            problems += twice
    values, twice = put_over(values, source.options, "options")
    problems += twice
    with collect(problems):
        labels |= parse_labels(source.labels)
    problems += value_problems(labels, "labels") + size_problems(labels)
    if not values:
        nothing = Problem("nothing to tune.", fix="Give --dataset-uri or --params; see --help.")
        raise UserError(*problems or [nothing])
    return completed(base, values, labels, source.template, problems, advise_steps=advise_steps)


def parse_labels(pairs: tuple[str, ...]) -> dict[str, str]:
    """Reads labels.

    Args:
        pairs: KEY=VALUE each.

    Returns:
        The labels.

    Raises:
        UserError: For every text that is no such pair.
    """
    wrong = [pair for pair in pairs if not pair.partition("=")[0] or "=" not in pair]
    if wrong:
        raise UserError(
            *(
                Problem(f"{short(pair)} is no label.", "--label", allowed="KEY=VALUE")
                for pair in wrong
            )
        )
    return {key: value for key, _, value in (pair.partition("=") for pair in pairs)}
