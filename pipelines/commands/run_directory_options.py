"""The options that name a run's folder, alike in every command that runs on this machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from kfp_llm_tuning.pipelines.commands.completion import complete_runs
from kfp_llm_tuning.pipelines.local_runs import run_directory
from kfp_llm_tuning.pipelines.local_runs.run_directory import FoundRun

output_dir_option = click.option(
    "--output-dir",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Folder of all runs and of the model registry.",
)


def run_directory_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --output-dir and --resume.

    Args:
        command: Takes ``output_dir`` and ``resume``.

    Returns:
        The command with the options.
    """
    for option in (
        click.option(
            "--resume",
            is_flag=False,
            flag_value=run_directory.LATEST,
            metavar="[RUN]",
            shell_complete=complete_runs,
            help="Continue a run that failed or was killed: the last one, or the one named.",
        ),
        output_dir_option,
    ):
        command = option(command)
    return command


def noted(found: FoundRun) -> Path:
    """Tells on standard error which runs were passed over and why.

    Args:
        found: The run to resume.

    Returns:
        The run's folder.
    """
    for reason in found.passed_over:
        click.echo(f"Note: {reason}", err=True)
    return found.directory
