"""A command's help with its options in groups: those of the table, and one for each platform's.

click-option-group, which kfp brings, wants the options of a group from one decorator: ours come
from several, some of which other commands share.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from kfp_llm_tuning.components.common.platforms import KUBEFLOW, VERTEX
from kfp_llm_tuning.components.parameters.pipeline import TEXT
from kfp_llm_tuning.components.parameters.row import GROUPS
from kfp_llm_tuning.components.parameters.tuner import FURTHER_ARGUMENTS
from kfp_llm_tuning.pipelines.commands.job_platforms import CLUSTER_FIELDS
from kfp_llm_tuning.pipelines.commands.platform_options import VERTEX_ONLY

_COMMAND = "options"
# What the published names are called elsewhere, and by `validate`.
_MEANT = {
    "--model": "--large-model-reference",
    "--dataset": "--dataset-uri",
    "--data": "--dataset-uri",
    "--evaluation": "--evaluation-data-uri",
    "--name": "--model-display-name",
    "--steps": "--train-steps",
}
_OF_THE_TABLE = {**TEXT, **FURTHER_ARGUMENTS}
_OF_PLATFORMS = {
    **dict.fromkeys(VERTEX_ONLY, VERTEX.title),
    **dict.fromkeys((*CLUSTER_FIELDS, "options_file"), KUBEFLOW.title),
}


class GroupedCommand(click.Command):
    """A command with so many options that its help shows them in groups."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parses the command line, and adds to click's complaints what was meant.

        Args:
            ctx: The command's.
            args: The words.

        Returns:
            Those that no option took: none, except for a shell's completion.

        Raises:
            click.UsageError: For an unknown option, or words that no option takes.
        """
        ctx.allow_extra_args = True
        try:
            left = super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if meant := _MEANT.get(error.option_name):
                raise click.UsageError(f"{error.message} Did you mean {meant!r}?", ctx) from error
            raise
        if left and not ctx.resilient_parsing:
            noun = "argument" if len(left) == 1 else "arguments"
            ctx.fail(f"Got unexpected extra {noun} ({' '.join(left)}). --dataset-uri names data.")
        return left

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes a section for each group that has options.

        Args:
            ctx: The command's.
            formatter: Takes the text.
        """
        for title, records in self._sections(ctx):
            with formatter.section(title):
                formatter.write_dl(records)

    def _sections(self, context: click.Context) -> Iterator[tuple[str, Sequence[tuple[str, str]]]]:
        groups: dict[str, list[tuple[str, str]]] = {name: [] for name in (_COMMAND, *GROUPS)}
        for parameter in self.get_params(context):
            if record := parameter.get_help_record(context):
                groups[_group_of(parameter.name or "")].append(record)
        for name, records in groups.items():
            if records:
                yield name[0].upper() + name[1:], records


def _group_of(name: str) -> str:
    if name in _OF_THE_TABLE:
        return _OF_THE_TABLE[name].group
    return _OF_PLATFORMS.get(name, _COMMAND)
