"""Tests of reading methods and routes out of the SDK."""

from __future__ import annotations

from typing import Any

import pytest
from google.cloud import aiplatform_v1, aiplatform_v1beta1

from tests.vertex.registry import load_registry

_LOCATION = "/v1/projects/p/locations/l"


@pytest.mark.parametrize(
    ("verb", "path", "method", "fields"),
    [
        ("GET", "/models/1@2", "ModelService.GetModel", {"name": "models/1@2"}),
        ("POST", "/models:upload", "ModelService.UploadModel", {"parent": ""}),
        ("POST", "/endpoints/1:predict", "PredictionService.Predict", {"endpoint": "endpoints/1"}),
        ("GET", "/models/1/operations/2", "Operations.GetOperation", {"name": None}),
        (
            "PATCH",
            "/metadataStores/default/contexts/c",
            "MetadataService.UpdateContext",
            {"context.name": "metadataStores/default/contexts/c"},
        ),
    ],
)
def test_finds_the_method_of_a_path(
    verb: str, path: str, method: str, fields: dict[str, str | None]
) -> None:
    found = load_registry().match(verb, _LOCATION + path)

    assert found is not None
    route, values = found
    assert route.method.full_name == method
    for field, ending in fields.items():
        expected = path if ending is None else f"/{ending}".rstrip("/")
        assert values[field] == "projects/p/locations/l" + expected


def test_knows_no_other_paths() -> None:
    registry = load_registry()

    assert registry.match("GET", "/v1/projects/p/locations/l/nothings") is None
    assert registry.match("PUT", f"{_LOCATION}/models/1") is None


def test_both_versions_of_the_api_number_their_fields_alike() -> None:
    """Handlers know only v1: a request of v1beta1 is read as its v1 form."""
    seen: set[str] = set()
    for name in aiplatform_v1.types.__all__:
        stable = getattr(aiplatform_v1.types, name)
        beta = getattr(aiplatform_v1beta1.types, name, None)
        if beta is not None and hasattr(stable, "pb"):
            _compare(stable.pb().DESCRIPTOR, beta.pb().DESCRIPTOR, seen)

    assert len(seen) > 500


def _compare(stable: Any, beta: Any, seen: set[str]) -> None:
    if stable.full_name in seen:
        return
    seen.add(stable.full_name)
    for field in stable.fields:
        other = beta.fields_by_number.get(field.number)
        if other is None:  # v1beta1 lacks the field: it cannot send it
            continue
        assert (other.name, other.type) == (field.name, field.type), stable.full_name
        if field.message_type and ".aiplatform." in field.message_type.full_name:
            _compare(field.message_type, other.message_type, seen)
