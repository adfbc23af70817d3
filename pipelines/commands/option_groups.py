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
_OF_THE_TABLE = {**TEXT, **FURTHER_ARGUMENTS}
_OF_PLATFORMS = {
    **dict.fromkeys(VERTEX_ONLY, VERTEX.title),
    **dict.fromkeys((*CLUSTER_FIELDS, "options_file"), KUBEFLOW.title),
}


class GroupedCommand(click.Command):
    """A command with so many options that its help shows them in groups."""

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
