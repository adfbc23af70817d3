"""What schedules are on every platform: how each run gets its own name."""

from __future__ import annotations

import re

import pytest

from kfp_llm_tuning.pipelines.jobs.schedules import for_every_run, model_id
from kfp_llm_tuning.pipelines.requests.request import Request


def test_every_run_has_a_dated_name_and_all_have_one_parent() -> None:
    values = for_every_run(Request("tune-large-model", {"model_display_name": "My router"})).values
    assert values == {"model_display_name": "My router-{date}", "parent_model": "my-router"}


@pytest.mark.parametrize("name", ["router {date}", "{time}-router"])
def test_a_name_that_says_where_its_date_goes_stays(name: str) -> None:
    values = for_every_run(Request("tune-large-model", {"model_display_name": name})).values
    assert values == {"model_display_name": name, "parent_model": "router"}


@pytest.mark.parametrize("parent", ["", "other", "projects/p/locations/l/models/1"])
def test_a_parent_that_is_given_stays(parent: str) -> None:
    given = Request("tune-large-model", {"model_display_name": "x", "parent_model": parent})
    assert for_every_run(given).values["parent_model"] == parent


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("My Router", "my-router"),
        ("2nd", "m-2nd"),
        ("a" * 100, "a" * 50),
        ("?", "m"),
    ],
)
def test_model_ids(name: str, expected: str) -> None:
    assert model_id(name) == expected


def test_model_ids_of_other_scripts_differ() -> None:
    names = ("日本", "中国", "Ünicode", "Änicode")
    ids = {model_id(name) for name in names}
    assert len(ids) == len(names)
    assert all(re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", one) for one in ids)
