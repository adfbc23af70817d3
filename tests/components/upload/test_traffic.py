from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kfp_llm_tuning.components.upload.traffic import split_traffic, split_without

SPLITS = st.lists(st.integers(1, 100), min_size=1, max_size=8).map(
    lambda weights: {str(number): weight for number, weight in enumerate(weights, start=1)}
)


@pytest.mark.parametrize(
    ("current", "percentage", "split"),
    [
        ({}, 100, {"0": 100}),
        ({}, 10, {"0": 100}),
        ({"1": 100}, 10, {"0": 10, "1": 90}),
        ({"1": 100}, 100, {"0": 100, "1": 0}),
        ({"1": 100, "2": 0}, 0, {"0": 0, "1": 100}),
        ({"1": 33, "2": 33, "3": 34}, 50, {"0": 50, "1": 17, "2": 16, "3": 17}),
    ],
)
def test_traffic(current: dict[str, int], percentage: int, split: dict[str, int]) -> None:
    assert split_traffic(current, percentage) == split


@given(SPLITS, st.integers(0, 100))
def test_traffic_sums_to_100_and_stays_in_proportion(
    current: dict[str, int], percentage: int
) -> None:
    split = split_traffic(current, percentage)
    assert sum(split.values()) == 100
    assert split["0"] == percentage
    for name, weight in current.items():
        assert abs(split[name] - weight * (100 - percentage) / sum(current.values())) < 1


@pytest.mark.parametrize(
    ("current", "before", "others", "split"),
    [
        pytest.param({"9": 100}, {}, [], {}, id="it was alone"),
        pytest.param({"9": 100, "1": 0}, {"1": 100}, ["1"], {"1": 100}, id="it had all"),
        pytest.param(
            {"9": 33, "1": 22, "2": 45},
            {"1": 33, "2": 67},
            ["1", "2"],
            {"1": 33, "2": 67},
            id="share",
        ),
        pytest.param(
            {"9": 10, "1": 60, "3": 30}, {"1": 100}, ["1", "3"], {"1": 67, "3": 33}, id="one came"
        ),
        pytest.param({"9": 100}, {"1": 60, "2": 40}, ["2"], {"2": 100}, id="one went"),
        pytest.param({"9": 10, "1": 90}, {"9": 10, "1": 90}, ["1"], {"1": 100}, id="not known"),
        pytest.param({"9": 100}, {"9": 100}, ["1", "2"], {"2": 100}, id="all had none"),
    ],
)
def test_a_share_is_taken_back(
    current: dict[str, int], before: dict[str, int], others: list[str], split: dict[str, int]
) -> None:
    assert split_without("9", current, before, others) == split


@given(SPLITS, st.integers(0, 100))
def test_the_split_is_as_it_was(weights: dict[str, int], percentage: int) -> None:
    before = {name: share for name, share in split_traffic(weights, 0).items() if share}
    current = split_traffic(before, percentage)
    assert split_without("0", current, before, list(before)) == before
    # Where it is not known any more, it is a split all the same.
    guessed = split_without("0", current, current, list(before))
    assert sum(guessed.values()) == 100
