"""What a run does as options of the tuner's command, for processes and machines that it starts."""

from __future__ import annotations

import dataclasses

from kfp_llm_tuning.components.tuning.arguments import TuningArguments
from kfp_llm_tuning.components.tuning.places import TuningPlaces

MODULE = "kfp_llm_tuning.components.tuning"


def options(arguments: TuningArguments, places: TuningPlaces) -> list[str]:
    """Writes a run as options of the command.

    Args:
        arguments: What to do.
        places: Where to read and write.

    Returns:
        The words behind ``python -m MODULE``; what is empty is left out.
    """
    given = {"payload": arguments.to_json(), **dataclasses.asdict(places)}
    words = []
    for name, value in given.items():
        words += [f"--{name.replace('_', '-')}", value] if value else []
    return words
