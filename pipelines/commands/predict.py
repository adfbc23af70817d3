"""``kfp-llm-tuning predict``: asks a registered model, or one in a folder."""

from __future__ import annotations

import dataclasses
import json
import logging
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.storage import open_output
from kfp_llm_tuning.components.serving.logs import configure_transformers
from kfp_llm_tuning.pipelines.commands.completion import complete_models
from kfp_llm_tuning.pipelines.commands.model_folder import model_folder
from kfp_llm_tuning.pipelines.commands.registry_option import registry_option
from kfp_llm_tuning.pipelines.terminal.terminal_output import at_work

if TYPE_CHECKING:
    from kfp_llm_tuning.components.generation.instances import Instance
    from kfp_llm_tuning.components.generation.tuned_model import Answer

_STDIN = "-"
_logger = logging.getLogger(__name__)


@click.command()
@click.argument("model", shell_complete=complete_models)
@click.argument("text", required=False)
@registry_option
@click.option(
    "--input", "source", type=click.Path(), metavar="FILE", help="Rows to answer; - is stdin."
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, writable=True, allow_dash=True),
    default="-",
    metavar="FILE",
    help="Where answers go instead of stdout.",
)
@click.option("--context", default="", help="What the assistant is told before TEXT.")
@click.option(
    "--max-output-tokens",
    type=click.IntRange(min=1),
    help="Limit of an answer.  [default: the limit that the model was tuned with]",
)
@click.option("--json", "as_json", is_flag=True, help="Write JSON for TEXT too.")
def predict(
    model: str,
    text: str | None,
    registry_uri: str,
    source: str | None,
    output: str,
    context: str,
    max_output_tokens: int | None,
    as_json: bool,
) -> None:
    """Ask a tuned model, with TEXT or a file.

    MODEL is a folder, NAME (the deployed version, else the newest), NAME@VERSION,
    models/NAME@VERSION, models:/NAME/VERSION or models:/NAME@deployed.

    FILE is whatever `validate` reads: JSONL, a JSON array, CSV, TSV, Parquet or Arrow, a folder, a
    pattern, several with commas between, hf://org/name; and rows in every format, also without an
    answer, such as {"prompt": "..."}. The last answer of a row is not shown to the model. Each
    row gets one line of JSON. Answers are the likeliest tokens: the same question has the same
    answer.
    """
    instances = _instances(text, context, source)
    with _opened(output) as write:
        with at_work(f"Asking {model}"):
            folder = model_folder(model, registry_uri)
            configure_transformers()
            from kfp_llm_tuning.components.generation.tuned_model import TunedModel

            answers = TunedModel(folder).answer(instances, max_output_tokens or 0)
        _warn(answers)
        for answer in answers:
            line = answer.content
            if as_json or source:
                line = json.dumps(dataclasses.asdict(answer), ensure_ascii=False)
            write(line)


@contextmanager
def _opened(output: str) -> Iterator[Callable[[str], None]]:
    """Opens the place of the answers before anything is asked; a file is whole or as it was.

    Args:
        output: A file; - is stdout.

    Yields:
        What writes a line.

    Raises:
        UserError: If it cannot be written.
    """
    if output == "-":
        yield click.echo
        return
    with open_output(Path(output), "--output") as stream:
        yield lambda line: click.echo(line.encode(), file=stream)


def _instances(text: str | None, context: str, source: str | None) -> list[Instance]:
    from kfp_llm_tuning.components.generation.instances import Instance, text_instance

    if (text is None) == (source is None):
        raise UserError(Problem("nothing to ask, or two things.", allowed="TEXT or --input FILE"))
    if source:
        if context:
            raise UserError(Problem("a file's rows bring their own context.", "--context"))
        return _read(source)
    asked = text_instance(text or "")
    return [Instance(asked.messages, context, is_chat=True) if context else asked]


def _read(source: str) -> list[Instance]:
    from kfp_llm_tuning.components.generation.questions import read_questions

    if source != _STDIN:
        return read_questions(source)
    # Of a stream that is read once, neither the container can be found nor a footer be read.
    with tempfile.NamedTemporaryFile() as copy:
        shutil.copyfileobj(sys.stdin.buffer, copy)
        copy.flush()
        return read_questions(copy.name, "stdin")


def _warn(answers: Sequence[Answer]) -> None:
    truncated = sum(answer.input_truncated for answer in answers)
    cut = sum(not answer.finished for answer in answers)
    if truncated:
        _logger.warning("%d of %d inputs were too long and truncated.", truncated, len(answers))
    if cut:
        _logger.warning("%d of %d answers reached the limit of tokens.", cut, len(answers))
