from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.upload.names import (
    ModelAddress,
    endpoint_name,
    parse_address,
    registered_name,
)


@pytest.mark.parametrize(
    ("display_name", "name"),
    [
        ("intents", "intents"),
        ("  intents ", "intents"),
        ("Kunden-Anfragen für März", "Kunden-Anfragen für März"),
        ("a/b:c@d", "a-b-c-d"),
        ("what? #1 100%", "what- -1 100-"),
        ("x" * 128, "x" * 128),
        ("v1.5", "v1.5"),
    ],
)
def test_registered_name(display_name: str, name: str) -> None:
    assert registered_name(display_name) == name


@pytest.mark.parametrize("display_name", ["", "  ", ".", "..", "x" * 129])
def test_refused_name(display_name: str) -> None:
    with pytest.raises(UserError, match="model_display_name"):
        registered_name(display_name)


@given(st.text(max_size=140))
def test_every_name_that_is_accepted_is_accepted_by_mlflow(display_name: str) -> None:
    from mlflow.utils.validation import _validate_model_name

    try:
        name = registered_name(display_name)
    except UserError:
        return
    _validate_model_name(name)
    assert parse_address(f"models/{name}@3") == ModelAddress(name, "3")
    assert parse_address(f"models:/{name}/3") == ModelAddress(name, "3")
    assert parse_address(endpoint_name(name)) == ModelAddress(name, alias="deployed")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("intents", ModelAddress("intents")),
        ("intents@2", ModelAddress("intents", "2")),
        ("intents@deployed", ModelAddress("intents", alias="deployed")),
        ("models/intents", ModelAddress("intents")),
        ("models/intents@2", ModelAddress("intents", "2")),
        ("models:/intents/2", ModelAddress("intents", "2")),
        ("models:/intents/latest", ModelAddress("intents")),
        ("models:/intents@deployed", ModelAddress("intents", alias="deployed")),
    ],
)
def test_parse_address(text: str, address: ModelAddress) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["", "@", "@2", "intents@", "models/", "models:/", "a/b", "a:b@1"])
def test_no_address(text: str) -> None:
    with pytest.raises(UserError, match="names no model"):
        parse_address(text)


def test_resource_name_is_read_back() -> None:
    for address in (ModelAddress("a"), ModelAddress("a", "1"), ModelAddress("a", alias="b")):
        assert parse_address(address.resource_name) == address
