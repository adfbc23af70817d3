from __future__ import annotations

import pytest

from kfp_llm_tuning.components.common.metrics import is_own_metric, primary_metric_problem


@pytest.mark.parametrize("name", ["", "rougeL", "loss", "module:f", "a.b_2:größe"])
def test_names_that_may_be_right(name: str) -> None:
    assert primary_metric_problem(name) is None
    assert is_own_metric(name) is (":" in name)


@pytest.mark.parametrize("name", ["primary", "module:", ":f", "a..b:f", "a:f()", "2:f", "a:b:c"])
def test_names_that_cannot_be_right(name: str) -> None:
    problem = primary_metric_problem(name)
    assert problem
    assert "is no metric" in problem.what
    assert "module:function" in problem.allowed


def test_the_nearest_name_is_asked_for() -> None:
    problem = primary_metric_problem("rougel")
    assert problem
    assert problem.fix == "Did you mean rougeL?"
