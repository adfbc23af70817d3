"""The help of a command with many options."""

from __future__ import annotations

import re

import pytest

from kfp_llm_tuning.components.parameters.pipeline import TEXT
from kfp_llm_tuning.components.parameters.row import GROUPS
from kfp_llm_tuning.components.parameters.tuner import FURTHER_ARGUMENTS
from tests.pipelines.conftest import Call


@pytest.mark.parametrize("command", [["run"], ["submit"], ["plan"], ["schedule", "create"]])
def test_every_row_is_shown_in_its_group(call: Call, command: list[str]) -> None:
    text = call(*command, "--help").output
    parts = re.split(r"^(\w[\w ]*):\n", text, flags=re.MULTILINE)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    shown = [title for title in sections if title != "Options"]
    titles = [group[0].upper() + group[1:] for group in GROUPS]
    assert shown == [title for title in titles if title in shown]
    assert ("Kubeflow" in shown) == (command != ["run"])
    for row in [*TEXT.values(), *FURTHER_ARGUMENTS.values()]:
        section = sections[row.group[0].upper() + row.group[1:]]
        assert re.search(rf"^  {row.option}\b(?!-)", section, re.MULTILINE), row.name


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--model", "byte-tiny"], "Did you mean '--large-model-reference'?"),
        (["--train-step", "3"], "'--train-steps'"),
        (["own.csv"], "Got unexpected extra argument (own.csv). --dataset-uri names data."),
        (["a", "b"], "Got unexpected extra arguments (a b). --dataset-uri names data."),
        (["--train-steps"], "requires an argument"),
    ],
)
def test_a_word_that_is_no_options_is_answered_with_what_is_meant(
    call: Call, words: list[str], said: str
) -> None:
    called = call("run", *words)
    assert called.exit_code == 2
    assert said in called.stderr
