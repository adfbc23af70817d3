"""``kfp-llm-tuning run``: the whole pipeline on this machine."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.pipelines.commands.option_groups import GroupedCommand
from kfp_llm_tuning.pipelines.commands.request_options import (
    RequestSource,
    gather_request,
    request_options,
)
from kfp_llm_tuning.pipelines.commands.run_directory_options import noted, run_directory_options
from kfp_llm_tuning.pipelines.local_runs import tuning_run
from kfp_llm_tuning.pipelines.local_runs.run_summary import print_summary
from kfp_llm_tuning.pipelines.terminal.text import output_console

EXIT_GATE = 3


@click.command(cls=GroupedCommand, context_settings={"max_content_width": 100})
@run_directory_options
@click.option("--yes", is_flag=True, help="Download a large model without asking.")
@request_options
@click.pass_context
def run(
    context: click.Context,
    /,
    template: str | None,
    params: Path | None,
    request_file: Path | None,
    output_dir: Path,
    resume: str | None,
    yes: bool,
    labels: tuple[str, ...],
    **options: str | None,
) -> None:
    """Tune, evaluate and register a model on this machine.

    Parameters come from --request, --params and the options below, later ones first. Exit codes:
    0 done, 1 a mistake in data or parameters, 3 refused by the gate, 13 a fault of ours,
    75 interrupted: run again with --resume.
    """
    given = {name: value for name, value in options.items() if value is not None}
    source = RequestSource(request_file, params, given, template, labels)
    tuning_run.check_installed()
    if resume is not None:
        if not source.empty:
            raise UserError(
                Problem(
                    "a resumed run keeps its parameters.",
                    "--resume",
                    fix="Give no parameters, or start a new run without --resume.",
                )
            )
        directory = noted(tuning_run.to_resume(output_dir, resume))
    else:
        request = gather_request(source)
        for note in request.notes:
            click.echo(f"Note: {note}", err=True)
        confirm = None if yes else _confirm_download
        directory = tuning_run.begin(request, output_dir, confirm_download=confirm)
    context.exit(_run_in(directory))


def _confirm_download(what: str) -> None:
    """Asks in a terminal; elsewhere nobody could answer."""
    if not sys.stdin.isatty():
        fix = "Give --yes to download it, or name a smaller model."
        raise UserError(Problem(what, "large_model_reference", fix=fix))
    click.confirm(f"{what} Go on?", abort=True, err=True)


def _run_in(directory: Path) -> int:
    console = output_console()
    resume = f"kfp-llm-tuning run --resume {directory.name} --output-dir {directory.parent}"
    run = tuning_run.go_on(directory, resume, console)
    if run.summary is None:
        return run.done.exit_code
    print_summary(console, run.summary, run.done.registry_uri, run.done.seconds)
    return EXIT_GATE if run.summary.refused else 0
