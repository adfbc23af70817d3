"""``python -m kfp_llm_tuning.components.tuning``: the tuner as a plain command."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

import click
import docstring_parser

from kfp_llm_tuning.components.common.errors import Problem, UserError, exit_on_error
from kfp_llm_tuning.components.tuning.arguments import TuningArguments

_EPILOG = """\b
Exit codes: 0 the model is saved; 1 a mistake in arguments or data;
75 interrupted, run the same command again to go on; 13 a fault of this program.
"""


def _overrides(command: Callable[..., None]) -> Callable[..., None]:
    """Adds one option for each field of the arguments; the dataclass is their only definition."""
    described = docstring_parser.parse(TuningArguments.__doc__ or "").params
    texts = {parameter.arg_name: parameter.description for parameter in described}
    hints = get_type_hints(TuningArguments)
    for field in reversed(dataclasses.fields(TuningArguments)):
        kind = hints[field.name]
        required = field.default is dataclasses.MISSING
        default = "" if required or field.default == "" else f"  [default: {field.default}]"
        command = click.option(
            f"--{field.name.replace('_', '-')}",
            field.name,
            type=click.BOOL if kind is bool else kind,
            help=f"{texts[field.name]}{default}",
        )(command)
    return command


@click.command(epilog=_EPILOG)
@click.option("--payload", default="{}", help="JSON of the arguments, or a file that holds it.")
@click.option(
    "--train-dataset",
    required=True,
    type=click.Path(path_type=Path),
    help="Output folder of dataset-encoder.",
)
@click.option(
    "--evaluation-dataset",
    type=click.Path(path_type=Path),
    help="Output folder of evaluation-dataset-encoder.",
)
@click.option(
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="Where the saved model goes; replaced.",
)
@click.option(
    "--metrics",
    type=click.Path(path_type=Path),
    help="Where event files and history.jsonl go.  [default: OUTPUT-metrics]",
)
@click.option(
    "--checkpoints",
    type=click.Path(path_type=Path),
    help="Where checkpoints are kept; the same folder resumes.  [default: OUTPUT-checkpoints]",
)
@_overrides
def main(
    payload: str,
    train_dataset: Path,
    evaluation_dataset: Path | None,
    output: Path,
    metrics: Path | None,
    checkpoints: Path | None,
    **overrides: Any,
) -> None:
    """Tunes a language model on an encoded dataset; run again, it goes on where it stopped."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with exit_on_error():
        arguments = _arguments(payload, overrides)
        from kfp_llm_tuning.components.tuning.tune import TuningPaths, tune

        tune(
            arguments,
            TuningPaths(
                train_dataset=train_dataset,
                evaluation_dataset=evaluation_dataset,
                output=output,
                metrics=metrics or output.with_name(f"{output.name}-metrics"),
                checkpoints=checkpoints or output.with_name(f"{output.name}-checkpoints"),
            ),
        )


def _arguments(payload: str, overrides: dict[str, Any]) -> TuningArguments:
    text = payload if payload.lstrip().startswith("{") else _read(Path(payload))
    given = {name: value for name, value in overrides.items() if value is not None}
    return TuningArguments.from_json(text, given)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(
            Problem(f"cannot read {path} ({error.strerror}).", "--payload", "JSON or a file of it")
        ) from error


if __name__ == "__main__":
    main()
