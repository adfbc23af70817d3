"""Our names of what Vertex AI fills in are those of Google Cloud Pipeline Components."""

from __future__ import annotations

from google_cloud_pipeline_components import _placeholders

from kfp_llm_tuning.pipelines.vertex import placeholders


def test_the_names_are_googles() -> None:
    assert placeholders.LOCATION == _placeholders.LOCATION_PLACEHOLDER
    assert placeholders.SERVICE_ACCOUNT == _placeholders.SERVICE_ACCOUNT_PLACEHOLDER
    assert placeholders.NETWORK == _placeholders.NETWORK_PLACEHOLDER
    assert placeholders.PERSISTENT_RESOURCE_ID == _placeholders.PERSISTENT_RESOURCE_ID_PLACEHOLDER
