"""Tells the states of the data apart, so that a cached result is not taken for that of new data."""

from __future__ import annotations

import hashlib

from kfp_llm_tuning.components.common.errors import Problem, UserError, raise_all
from kfp_llm_tuning.components.common.storage import file_state


def data_version(**uris: str) -> str:
    """Hashes the states of files: their sizes, times and generations, not their content.

    Args:
        **uris: The URI of each file by the name of its parameter; empty for none.

    Returns:
        A text that changes when one of the files is written; empty where there are none.

    Raises:
        UserError: For every file that is not there or may not be read.
    """
    problems: list[Problem] = []
    states = []
    for where, uri in uris.items():
        try:
            states += [f"{where} {file_state(uri, where)}"] if uri else []
        except UserError as error:
            problems += error.problems
    raise_all(problems)
    return hashlib.sha256("\n".join(states).encode()).hexdigest() if states else ""
