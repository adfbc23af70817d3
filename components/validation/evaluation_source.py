"""Where a run takes its evaluation set from, said once."""

from __future__ import annotations

from kfp_llm_tuning.components.common.errors import Problem

SOURCES = "evaluation_data_uri or evaluation_fraction"


def held_out_twice() -> Problem:
    """Says that an evaluation set is given and a share of the training set as well."""
    what = "evaluation_data_uri and evaluation_fraction exclude one another."
    return Problem(what, "evaluation_data_uri, evaluation_fraction", fix="Give one of them.")
