"""The table of models and machines."""

from __future__ import annotations

import json
from functools import cache

from click.testing import CliRunner

from kfp_llm_tuning.components.models.feasibility import Setup, verdict
from kfp_llm_tuning.components.models.footprint import Method
from kfp_llm_tuning.components.models.machine_specs import select_machine
from kfp_llm_tuning.components.models.model_references import resolve
from kfp_llm_tuning.components.models.model_shapes import shape_of
from kfp_llm_tuning.pipelines.cli import cli
from kfp_llm_tuning.pipelines.planning.machine_table import TITLES, Row, rows

made = cache(rows)


def row(model: str, method: str) -> Row:
    return next(one for one in made() if (one.model, one.method) == (model, method))


def test_every_model_that_is_no_substitute_is_there_in_every_method() -> None:
    assert {one.model for one in made()} >= {"byte-tiny", "qwen3-32b", "llama-3.3-70b-instruct"}
    assert not any("bison" in one.model for one in made())
    assert {one.method for one in made()} >= {"LoRA", "full"}


def test_each_machine_holds_its_model() -> None:
    for one in made():
        shape = shape_of(resolve(one.model).checkpoint)
        tuning = "full" if one.method == "full" else "adapter"
        if one.machine and shape:
            setup = Setup.on(
                select_machine("", one.machine),
                shape,
                Method(tuning, four_bit="4 bits" in one.method),
            )
            assert setup and verdict(setup).fits


def test_full_tuning_needs_the_more_memory() -> None:
    adapter, full = (row("llama-3.2-1b-instruct", method) for method in ("LoRA", "full"))
    assert adapter.machine == "l4-1"
    assert 4 * adapter.gigabytes < full.gigabytes


def test_figures_have_their_error_bars_and_what_does_not_fit_has_none() -> None:
    texts = row("qwen3-8b", "LoRA").texts
    assert len(texts) == len(TITLES)
    assert " to " in texts[5] and texts[6].startswith("$")
    assert Row("large", 10**12, "full").texts[3] == "none of the table"


def test_the_command_prints_the_table_and_json() -> None:
    shown = CliRunner().invoke(cli, ["models", "available"])
    assert shown.exit_code == 0
    assert "qwen2.5-7b-instruct" in shown.stdout and "nothing of it was measured" in shown.stdout
    told = json.loads(CliRunner().invoke(cli, ["models", "available", "--json"]).stdout)
    assert {one["model"] for one in told} == {one.model for one in made()}
