"""The command ``kfp-llm-tuning``: its subcommands are imported only when they are called."""

from __future__ import annotations

import importlib
import sys
from importlib.metadata import version
from typing import NoReturn

import click

from kfp_llm_tuning.components.common.errors import (
    EXIT_USER_ERROR,
    Problem,
    UserError,
    exit_on_error,
)
from kfp_llm_tuning.components.common.wording import nearest
from kfp_llm_tuning.pipelines.terminal import terminal_output

# name -> (module of pipelines/commands, help line). The line stands here so that --help imports
# no subcommand.
SUBCOMMANDS = {
    "run": ("run", "Tune, evaluate and register a model on this machine."),
    "runs": ("runs", "List, show or delete the runs on this machine."),
    "validate": ("validate", "Check a dataset and say all that is wrong with it."),
    "convert": ("convert", "Write the rows of a dataset in another format."),
    "plan": ("plan", "Check all that a run needs, and estimate it, before anything is spent."),
    "submit": ("submit", "Tune, evaluate, register and deploy a model on Vertex AI or Kubeflow."),
    "schedule": ("schedule", "Run pipelines by the clock on Vertex AI or Kubeflow."),
    "jobs": ("jobs", "List, show or cancel pipeline jobs on Vertex AI or Kubeflow."),
    "models": ("models", "List, show, compare or delete registered models."),
    "predict": ("predict", "Ask a tuned model."),
    "serve": ("serve", "Answer over HTTP with a tuned model."),
    "compile": ("compile", "Write the templates and the components as YAML."),
    "init": ("init", "Write a starter project: a pipeline of your own around ours."),
}


# Packages that a plain install does not bring, and the extra that does.
_EXTRAS = {
    **dict.fromkeys(("google", "gcsfs", "grpc"), "vertex"),
    **dict.fromkeys(("datasets", "mlflow", "torch", "transformers"), "tuning"),
    **dict.fromkeys(("fastapi", "prometheus_client", "uvicorn"), "serving"),
}


class LazyGroup(click.Group):
    """A group that knows its subcommands' names and imports each on its first use."""

    def list_commands(self, context: click.Context) -> list[str]:
        """Lists the subcommands in the order of a user's work."""
        return list(SUBCOMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Imports one subcommand; None for an unknown name."""
        if name not in SUBCOMMANDS:
            return None
        module = importlib.import_module(
            f"kfp_llm_tuning.pipelines.commands.{SUBCOMMANDS[name][0]}"
        )
        command: click.Command = getattr(module, name)
        return command

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Finds the subcommand, and says of a misspelled one which is meant.

        Raises:
            click.UsageError: If there is no such subcommand.
        """
        meant = nearest(args[0], SUBCOMMANDS)
        if args[0] not in SUBCOMMANDS and meant and not context.resilient_parsing:
            context.fail(f"No such command {args[0]!r}. Did you mean {meant!r}?")
        return super().resolve_command(context, args)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the help lines without importing what they describe."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in SUBCOMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("kfp-llm-tuning"), prog_name="kfp-llm-tuning")
def cli() -> None:
    """Tune large language models with Kubeflow Pipelines.

    Shell completion, of bash; others are zsh_source and fish_source:

    \b
      eval "$(_KFP_LLM_TUNING_COMPLETE=bash_source kfp-llm-tuning)"
    """  # noqa: D301 - click's mark for a paragraph that is not wrapped


def main(arguments: list[str] | None = None) -> NoReturn:
    """Runs the command; a user's mistake ends it with exit code 1 and no traceback.

    Args:
        arguments: Instead of the process's own.

    Raises:
        SystemExit: Always, with the command's exit code.
    """
    terminal_output.prepare()
    with exit_on_error():
        try:
            # What a command hands to `context.exit`; None where it simply returns.
            sys.exit(cli.main(args=arguments, standalone_mode=False))
        except ModuleNotFoundError as error:
            _tell_what_to_install(error)
            raise
        except click.ClickException as error:
            error.show()
            sys.exit(EXIT_USER_ERROR)
        except click.Abort:
            sys.stderr.write("Stopped.\n")
            sys.exit(EXIT_USER_ERROR)


def _tell_what_to_install(error: ModuleNotFoundError) -> None:
    package = (error.name or "").partition(".")[0]
    if package in _EXTRAS:
        fix = f"Install it: pip install 'kfp-llm-tuning[{_EXTRAS[package]}]'."
        raise UserError(Problem(f"{package} is not installed.", fix=fix)) from error


if __name__ == "__main__":
    main()
