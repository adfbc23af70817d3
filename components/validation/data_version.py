"""Tells the states of the data apart, so that a cached result is not taken for that of new data."""

from __future__ import annotations

import hashlib

from kfp_llm_tuning.components.common.errors import Problem, UserError, raise_all
from kfp_llm_tuning.components.common.storage import file_state
from kfp_llm_tuning.components.data.sources.files import list_files
from kfp_llm_tuning.components.data.sources.hub import is_on_hub


def data_version(**uris: str) -> str:
    """Hashes the states of all files: their sizes, times and generations, not their content.

    Args:
        **uris: Each dataset by the name of its parameter, as `list_files` takes it; empty for none.

    Returns:
        A text that changes when one of the files is written; empty where there are none.

    Raises:
        UserError: For every file that is not there or may not be read.
    """
    problems: list[Problem] = []
    states = []
    for where, uri in uris.items():
        try:
            files = list_files(uri, where=where) if uri else []
            states += [f"{where} {_state(file.uri, where)}" for file in files]
        except UserError as error:
            problems += error.problems
    raise_all(problems)
    return hashlib.sha256("\n".join(states).encode()).hexdigest() if states else ""


def _state(uri: str, where: str) -> str:
    # A file of the hub is named with its commit.
    return uri if is_on_hub(uri) else file_state(uri, where)
