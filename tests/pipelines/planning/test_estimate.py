"""Time and cost, reckoned from assumptions."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from kfp_llm_tuning.components.common.tables import load_table
from kfp_llm_tuning.components.models.machine_specs import machine_names
from kfp_llm_tuning.components.models.model_references import resolve
from kfp_llm_tuning.components.models.model_shapes import shape_of
from kfp_llm_tuning.components.validation.dataset import Request, validate_dataset
from kfp_llm_tuning.pipelines.planning.estimate import (
    TABLE,
    Workload,
    estimate,
    parameter_count,
    predicted_step,
    workload,
)
from kfp_llm_tuning.pipelines.planning.planned_run import Tuner
from tests.pipelines.conftest import EXAMPLE

WORK = Workload(
    steps=300,
    batch_size=8,
    examples=1200,
    tokens_per_example=2000.0,
    parameters=7_000_000_000,
    tuning="adapter",
    machine="a100-80gb-8",
)


def test_every_machine_has_a_row() -> None:
    assert set(load_table(TABLE)["machines"]) == set(machine_names())


def test_the_size_of_every_named_model_is_known() -> None:
    table = load_table(TABLE.parents[2] / "components" / "models" / "model_references.yaml")
    rows = [*table["models"].values(), *table["published"]["families"].values()]
    assert all(parameter_count(row["checkpoint"]) for row in rows)
    assert parameter_count("hf://Qwen/Qwen2.5-7B-Instruct") == pytest.approx(7.6e9, rel=0.01)
    assert parameter_count("hf://org/Some-3B") == 3_000_000_000
    assert parameter_count("gs://bucket/model") == 0


def test_every_serving_machine_has_a_price() -> None:
    serving = TABLE.parents[2] / "components" / "upload" / "serving_machines.yaml"
    machines = load_table(Path(serving))["machines"]
    assert {row["machine_type"] for row in machines} == set(load_table(TABLE)["serving"])


def test_the_figures_follow_from_the_table() -> None:
    made, table = estimate(WORK), load_table(TABLE)
    row = table["machines"]["a100-80gb-8"]
    assert (made.epochs, made.tokens) == (2.0, 4_800_000)
    step = predicted_step(WORK)
    assert step
    seconds = 300 * step.seconds
    assert made.tuning_hours == pytest.approx(seconds / 3600)
    assert step.tokens_per_second == pytest.approx(8 * 2000 / step.seconds)
    rate = row["price"] * (1 + table["vertex_fee"])
    minutes = table["minutes"]
    tasks = minutes["other_tasks"] / 60 * table["other_tasks_price"] + table["pipeline_run_price"]
    tuner = (seconds / 3600 + minutes["machine_start"] / 60) * rate
    assert made.cost == pytest.approx(tuner + tasks)
    assert made.assumptions and any("no offer" in text for text in made.assumptions)


def test_a_model_of_unknown_sizes_is_reckoned_as_one_of_about_its_size() -> None:
    shape = shape_of("hf://Qwen/Qwen2.5-7B-Instruct")
    assert shape
    known = dataclasses.replace(WORK, parameters=shape.weights, shape=shape)
    guessed, counted = (predicted_step(work) for work in (WORK, known))
    assert guessed and counted
    assert guessed.seconds == pytest.approx(counted.seconds, rel=0.3)
    texts = [" ".join(estimate(work).assumptions) for work in (WORK, known)]
    assert "a model of about its size" in texts[0] and "its config.json" in texts[1]


def test_more_work_takes_longer_and_costs_more() -> None:
    base = estimate(WORK)
    for change in ({"steps": 600}, {"parameters": 14_000_000_000}, {"tuning": "full"}):
        more = estimate(dataclasses.replace(WORK, **change))
        assert more.tuning_hours and base.tuning_hours and more.tuning_hours > base.tuning_hours
        assert more.cost and base.cost and more.cost > base.cost


def test_machines_share_the_time_and_each_has_its_price() -> None:
    long = dataclasses.replace(WORK, tokens_per_example=1e7)
    one, two = estimate(long), estimate(dataclasses.replace(long, machines=2))
    assert one.tuning_hours and two.tuning_hours and one.cost and two.cost
    assert two.tuning_hours == pytest.approx(one.tuning_hours / 2)
    assert one.cost < two.cost < 1.1 * one.cost
    assert any("2 x " in text for text in two.assumptions)


def test_spot_is_cheaper() -> None:
    spot, base = estimate(dataclasses.replace(WORK, strategy="SPOT")), estimate(WORK)
    assert spot.cost and base.cost and spot.cost < base.cost


def test_what_is_not_known_is_not_reckoned() -> None:
    unknown_size = estimate(dataclasses.replace(WORK, parameters=0))
    assert (unknown_size.tuning_hours, unknown_size.cost) == (None, None)
    unknown_price = estimate(dataclasses.replace(WORK, machine="b200-8"))
    assert unknown_price.tuning_hours and unknown_price.cost is None


def test_without_a_deployment_there_is_no_endpoint_to_pay() -> None:
    assert estimate(dataclasses.replace(WORK, deploys=False)).endpoint_cost_per_hour == 0.0
    assert estimate(WORK).endpoint_cost_per_hour
    huge = dataclasses.replace(WORK, parameters=10**12)
    assert estimate(huge).endpoint_cost_per_hour is None


@pytest.mark.parametrize("machine", machine_names())
def test_every_machine_can_be_reckoned_with(machine: str) -> None:
    assert estimate(dataclasses.replace(WORK, machine=machine)).tuning_hours


def test_a_workload_of_the_shipped_example() -> None:
    summary = validate_dataset(
        Request(str(EXAMPLE / "train.jsonl"), large_model_reference="byte-tiny", train_steps=50)
    ).summary
    reference = resolve("byte-tiny")
    work = workload(summary, reference, Tuner("cpu-16", deploys=False))
    assert work is not None
    assert (work.steps, work.examples, work.strategy) == (50, 400, "STANDARD")
    lengths = (summary.training.input_tokens, summary.training.output_tokens)
    assert work.tokens_per_example == pytest.approx(sum(one.mean for one in lengths if one))


def test_a_conversation_is_reckoned_to_be_read_once(tmp_path: Path) -> None:
    messages = [{"role": role, "content": "a"} for _ in range(3) for role in ("user", "assistant")]
    path = tmp_path / "train.jsonl"
    path.write_text((json.dumps({"messages": messages}) + "\n") * 12)
    request = Request(str(path), large_model_reference="byte-tiny", train_steps=50)
    summary = validate_dataset(request).summary
    work = workload(summary, resolve("byte-tiny"), Tuner("cpu-16", deploys=False))
    assert work is not None
    assert work.examples == 36
    prompt, answer = summary.training.input_tokens, summary.training.output_tokens
    assert prompt and answer
    assert work.tokens_per_example == pytest.approx((prompt.mean + answer.mean) / 3)


def test_a_price_that_is_given_takes_the_place_of_the_list_price() -> None:
    made = estimate(dataclasses.replace(WORK, price=10.0, listed_prices=False))
    assert made.tuning_hours
    start = load_table(TABLE)["minutes"]["machine_start"] / 60
    assert made.cost == pytest.approx(10 * (made.tuning_hours + start))
    assert made.endpoint_cost_per_hour is None
    assert any("as given" in text for text in made.assumptions)


def test_elsewhere_nothing_is_known_of_prices() -> None:
    made = estimate(dataclasses.replace(WORK, listed_prices=False))
    assert made.cost is None and made.total_hours
    assert any("--machine-price" in text for text in made.assumptions)


def test_a_part_of_a_machine_takes_longer() -> None:
    half, whole = estimate(dataclasses.replace(WORK, part=0.5)), estimate(WORK)
    assert half.tuning_hours and whole.tuning_hours
    assert half.tuning_hours == pytest.approx(2 * whole.tuning_hours, rel=0.1)


def test_without_a_machine_no_time_is_reckoned() -> None:
    made = estimate(dataclasses.replace(WORK, machine="", listed_prices=False))
    assert (made.tuning_hours, made.total_hours, made.cost) == (None, None, None)
    assert made.steps == WORK.steps
