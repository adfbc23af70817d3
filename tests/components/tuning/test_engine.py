from __future__ import annotations

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.tuning.engine import ENGINE_VARIABLE, chosen_engine


def test_an_image_says_what_tunes_unless_the_command_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENGINE_VARIABLE, raising=False)
    assert chosen_engine() == "torch"
    monkeypatch.setenv(ENGINE_VARIABLE, "jax")
    assert (chosen_engine(), chosen_engine("torch")) == ("jax", "torch")


def test_an_unknown_engine_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENGINE_VARIABLE, "cuda")
    with pytest.raises(UserError, match="there is no engine cuda.*torch, jax"):
        chosen_engine()
