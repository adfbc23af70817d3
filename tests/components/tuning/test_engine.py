from __future__ import annotations

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.tuning import engine
from kfp_llm_tuning.components.tuning.engine import ENGINE_VARIABLE, chosen_engine


def test_an_image_says_what_tunes_unless_the_command_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENGINE_VARIABLE, raising=False)
    monkeypatch.setattr(engine, "find_spec", lambda _: object())
    assert chosen_engine() == "torch"
    monkeypatch.setenv(ENGINE_VARIABLE, "jax")
    assert (chosen_engine(), chosen_engine("torch")) == ("jax", "torch")


def test_an_unknown_engine_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENGINE_VARIABLE, "cuda")
    with pytest.raises(UserError, match="there is no engine cuda.*torch, jax"):
        chosen_engine()


def test_an_engine_that_is_not_installed_is_told_with_what_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"jax is not installed here.*kfp-llm-tuning\[tpu\]"):
        chosen_engine("jax")
