"""``python -m kfp_llm_tuning.components.tuning``: the tuner as a plain command."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any

import click

from kfp_llm_tuning.components.common.documents import MAXIMUM_BYTES, decode_text
from kfp_llm_tuning.components.common.errors import exit_on_error
from kfp_llm_tuning.components.common.storage import open_input
from kfp_llm_tuning.components.parameters.tuner import ARGUMENTS
from kfp_llm_tuning.components.tuning.arguments import TuningArguments
from kfp_llm_tuning.components.tuning.engine import ENGINE_VARIABLE, ENGINES, TORCH

_EPILOG = """\b
Exit codes: 0 the model is saved; 1 a mistake in arguments or data;
75 interrupted, run the same command again to go on; 13 a fault of this program.
"""


def _overrides(command: Callable[..., None]) -> Callable[..., None]:
    """Adds an option for each argument of the table."""
    for name, argument in reversed(list(ARGUMENTS.items())):
        shown = argument.required or argument.default == ""
        default = "" if shown else f"  [default: {argument.default}]"
        command = click.option(
            argument.option,
            name,
            type=click.BOOL if argument.type is bool else argument.type,
            help=f"{argument.help}{default}",
        )(command)
    return command


@click.command(epilog=_EPILOG)
@click.option("--payload", default="{}", help="JSON of the arguments, or a file that holds it.")
@click.option("--train-dataset", required=True, help="Output folder of dataset-encoder.")
@click.option(
    "--evaluation-dataset", default="", help="Output folder of evaluation-dataset-encoder."
)
@click.option("--output", required=True, help="Where the saved model goes; replaced.")
@click.option(
    "--metrics",
    default="",
    help="Where event files and history.jsonl go.  [default: OUTPUT-metrics]",
)
@click.option(
    "--checkpoints",
    default="",
    help="Where checkpoints are kept; the same folder resumes.  [default: OUTPUT-checkpoints]",
)
@click.option(
    "--tracking-uri",
    default="",
    help="MLflow tracking URI of the pipeline run that it is part of, for curves as they grow.",
)
@click.option(
    "--processes",
    type=click.IntRange(min=0),
    default=0,
    help="Processes that share the batch; 0 starts one for each GPU.  [default: 0]",
)
@click.option(
    "--engine",
    default="",
    help=f"What computes: {' or '.join(ENGINES)}.  [default: ${ENGINE_VARIABLE}, or {TORCH}]",
)
@_overrides
def main(
    payload: str,
    train_dataset: str,
    evaluation_dataset: str,
    output: str,
    metrics: str,
    checkpoints: str,
    tracking_uri: str,
    processes: int,
    engine: str,
    **overrides: Any,
) -> None:
    """Tunes a language model on an encoded dataset; run again, it goes on where it stopped.

    Every folder and file may be a path or a URI (gs://, s3:// ...).
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    with exit_on_error():
        arguments = _arguments(payload, overrides)
        from kfp_llm_tuning.components.tuning.places import TuningPlaces
        from kfp_llm_tuning.components.tuning.session import run

        beside = output.rstrip("/")
        places = TuningPlaces(
            train_dataset=train_dataset,
            evaluation_dataset=evaluation_dataset,
            output=output,
            metrics=metrics or f"{beside}-metrics",
            checkpoints=checkpoints or f"{beside}-checkpoints",
            tracking_uri=tracking_uri,
        )
        run(arguments, places, processes, engine)


def _arguments(payload: str, overrides: dict[str, Any]) -> TuningArguments:
    text = payload if payload.lstrip().startswith("{") else _read(payload)
    given = {name: value for name, value in overrides.items() if value is not None}
    return TuningArguments.from_json(text, given)


def _read(uri: str) -> str:
    with open_input(uri, "--payload") as stream:
        return decode_text(stream.read(MAXIMUM_BYTES + 1), "--payload")


if __name__ == "__main__":
    main()
