from __future__ import annotations

import sys

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.evaluation.own_metric import OwnMetric, own_metric_name

MODULE = """
import operator

def same(reference, prediction):
    return reference == prediction

def asked(reference, prediction, prompt=""):
    return len(prompt)

def words(reference, prediction):
    return "many"

def endless(reference, prediction):
    return float("inf")

def one(text):
    return 1.0

constant = 1.0
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "my_metrics.py").write_text(MODULE)
    (tmp_path / "broken_metrics.py").write_text("import nothing_of_this_name")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("my_metrics", "broken_metrics"):
        monkeypatch.delitem(sys.modules, name, raising=False)


@pytest.mark.usefixtures("module")
@pytest.mark.parametrize(
    ("function", "values"), [("same", [1.0, 0.0]), ("asked", [4.0, 0.0]), ("operator.eq", None)]
)
def test_is_called_with_every_answer(function, values):
    if values is None:
        # Nested names are no functions of a module.
        with pytest.raises(UserError, match="has no function"):
            OwnMetric(f"my_metrics:{function}")
        return
    own = OwnMetric(f"my_metrics:{function}")
    assert own.values(["a", "b"], ["a", "c"], ["Who?", ""]).tolist() == values


@pytest.mark.usefixtures("module")
@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("no_metrics:same", "no_metrics cannot be imported: ModuleNotFoundError.*PYTHONPATH"),
        ("broken_metrics:same", "broken_metrics cannot be imported.*nothing_of_this_name"),
        ("my_metrics:smae", "my_metrics has no function smae.*Did you mean same"),
        ("my_metrics:constant", "my_metrics has no function constant"),
        ("my_metrics:one", r"takes \(text\), which cannot be called"),
    ],
)
def test_names_that_are_wrong(given, told):
    with pytest.raises(UserError, match=told):
        OwnMetric(given)


@pytest.mark.usefixtures("module")
@pytest.mark.parametrize("function", ["words", "endless"])
def test_what_is_no_finite_number(function):
    with pytest.raises(UserError, match=r"returned .* for the reference 'a'.*a finite number"):
        OwnMetric(f"my_metrics:{function}").values(["a"], ["b"], ["c"])


def test_is_called_as_its_function_unless_a_metric_of_ours_is():
    assert own_metric_name("package.module:mine") == "mine"
    assert own_metric_name("package.module:bleu") == "package.module.bleu"
    assert own_metric_name("module:primary") == "module.primary"
