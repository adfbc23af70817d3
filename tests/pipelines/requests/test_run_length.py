"""Which requests let the task decide how long they train."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.pipelines.commands.request_options import RequestSource, gather_request
from kfp_llm_tuning.pipelines.requests.run_length import (
    ADVISED,
    length_problems,
    with_advised_steps,
)

OPEN = {"large_model_reference": "byte-tiny"}


@pytest.mark.parametrize(
    ("values", "advised"),
    [
        (OPEN, True),
        ({**OPEN, "train_steps": "300"}, False),
        ({**OPEN, "epochs": 0}, False),
        ({"large_model_reference": "text-bison@002"}, False),
        ({}, False),
        ({"large_model_reference": "no such model"}, True),
    ],
)
def test_only_what_says_nothing_is_advised(values: dict[str, Any], advised: bool) -> None:
    settled = with_advised_steps(values, "tune-large-model")
    assert settled == {**values, **({"epochs": ADVISED} if advised else {})}


def test_a_published_body_keeps_the_published_steps(tmp_path: Path) -> None:
    body = {"runtimeConfig": {"parameterValues": OPEN}}
    file = tmp_path / "request.json"
    file.write_text(json.dumps(body))
    source = RequestSource(file, None, {}, None, ())
    assert "epochs" not in gather_request(source).values
    options = RequestSource(None, None, OPEN, None, ())
    assert gather_request(options).values["epochs"] == ADVISED
    assert "epochs" not in gather_request(options, advise_steps=False).values


@pytest.mark.parametrize("epochs", ["2", -1, 0.5])
def test_steps_and_epochs_exclude_one_another(epochs: Any) -> None:
    values = {**OPEN, "train_steps": 300, "epochs": epochs}
    source = RequestSource(None, None, values, None, ())
    with pytest.raises(UserError, match="epochs and train_steps exclude one another"):
        gather_request(source).parameters()


@pytest.mark.parametrize("epochs", ["0", 0.0, "many"])
def test_what_is_nothing_or_no_number_excludes_nothing(epochs: Any) -> None:
    assert length_problems({"train_steps": 300, "epochs": epochs}) == []
