from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.upload.vertex_names import (
    MAX_LABELS,
    deployment_id,
    legal_labels,
    resource_id,
    run_label,
    version_aliases,
)

KEY = re.compile(r"[a-z][a-z0-9_-]{0,62}")
VALUE = re.compile(r"[a-z0-9_-]{0,63}")


def test_legal_labels_stay_as_they_are() -> None:
    labels = {"google-vertex-llm-tuning-base-model-id": "text-bison-002", "team": ""}
    legal = legal_labels(labels)
    assert legal.labels == labels
    assert legal.changed == {}


def test_what_is_changed_is_told() -> None:
    legal = legal_labels({"model-reference": "text-bison@002", "1st": "Ä", "sha": "a" * 64})
    assert legal.labels == {"model-reference": "text-bison-002", "label-1st": "", "sha": "a" * 63}
    assert legal.changed == {"model-reference": "text-bison@002", "1st": "Ä", "sha": "a" * 64}


def test_keys_that_become_the_same_are_told_apart() -> None:
    legal = legal_labels({"team": "a", "Team": "b", "TEAM": "c"})
    assert legal.labels == {"team": "a", "team-2": "b", "team-3": "c"}
    assert legal.changed == {"Team": "b", "TEAM": "c"}


def test_labels_beyond_the_limit_are_told() -> None:
    given_labels = {f"label{number}": "x" for number in range(70)}
    legal = legal_labels(given_labels)
    assert len(legal.labels) == MAX_LABELS
    assert list(legal.changed) == [f"label{number}" for number in range(64, 70)]


@given(st.dictionaries(st.text(min_size=1, max_size=80), st.text(max_size=80), max_size=80))
def test_every_label_is_legal_and_none_is_lost(labels: dict[str, str]) -> None:
    legal = legal_labels(labels)
    assert all(KEY.fullmatch(key) and VALUE.fullmatch(legal.labels[key]) for key in legal.labels)
    assert len(legal.labels) == min(len(labels), MAX_LABELS)
    unchanged = labels.items() - legal.changed.items()
    assert unchanged <= legal.labels.items()


def test_run_labels_differ_where_runs_do() -> None:
    assert run_label("tune-large-model-20261124080000") == "tune-large-model-20261124080000"
    assert run_label("Run 1") != run_label("run-1")
    assert run_label("a" * 70) != run_label("a" * 71)
    assert VALUE.fullmatch(run_label("a" * 71))


@pytest.mark.parametrize("name", ["Support intents", "42", "日本", "x" * 128, "-a-", ""])
def test_ids_are_legal_and_alike_for_the_same_key(name: str) -> None:
    first = resource_id(name, "run-1")
    assert re.fullmatch(r"[a-z][a-z0-9-]{0,61}[a-z0-9]", first)
    assert first == resource_id(name, "run-1") != resource_id(name, "run-2")


def test_deployment_ids_have_ten_digits() -> None:
    ids = {deployment_id(f"run-{number}") for number in range(50)}
    assert len(ids) == 50
    assert all(re.fullmatch(r"[1-9][0-9]{9}", identifier) for identifier in ids)


def test_aliases() -> None:
    assert version_aliases(" champion,default ,") == ["champion", "default"]
    assert version_aliases("") == []
    with pytest.raises(UserError, match="'1' is no alias"):
        version_aliases("champion,1")
