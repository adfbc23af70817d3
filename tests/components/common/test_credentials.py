from __future__ import annotations

import logging

import pytest

from kfp_llm_tuning.components.common.credentials import (
    has_credentials,
    hide_credentials,
    hide_credentials_in_logs,
    without_credentials,
)

SECRETS = {
    "https://ann:s3cret@mlflow.example.com:5000/x": (
        "https://ann:***@mlflow.example.com:5000/x",
        "https://mlflow.example.com:5000/x",
    ),
    "postgresql+psycopg2://ann:p@s/s:3cret@db:5432/mlflow": (
        "postgresql+psycopg2://ann:***@db:5432/mlflow",
        "postgresql+psycopg2://db:5432/mlflow",
    ),
    "s3://KEY:s3cret@bucket/rows.jsonl": (
        "s3://KEY:***@bucket/rows.jsonl",
        "s3://bucket/rows.jsonl",
    ),
    "https://:s3cret@host/rows": ("https://:***@host/rows", "https://host/rows"),
    "https://ghp_s3cret@host/rows": ("https://***@host/rows", "https://host/rows"),
    "mysql://db/mlflow?user=ann&password=s3cret&x=1": (
        "mysql://db/mlflow?user=ann&password=***&x=1",
        "mysql://db/mlflow?user=ann&password=&x=1",
    ),
    "https://b.blob.core.windows.net/rows?sv=1&sig=s3cret%3D": (
        "https://b.blob.core.windows.net/rows?sv=1&sig=***",
        "https://b.blob.core.windows.net/rows?sv=1&sig=",
    ),
    "https://b.s3.amazonaws.com/rows?X-Amz-Signature=s3cret&X-Amz-Expires=9": (
        "https://b.s3.amazonaws.com/rows?X-Amz-Signature=***&X-Amz-Expires=9",
        "https://b.s3.amazonaws.com/rows?X-Amz-Signature=&X-Amz-Expires=9",
    ),
}
HARMLESS = (
    "",
    "runs/mlflow.db",
    "sqlite:////data/mlflow.db",
    "http://host:5000",
    "http://host:5000/models/name@2",
    "postgresql://ann@db/mlflow",
    "gs://bucket/a:b/rows@2.jsonl",
    "models:/name@deployed",
    "https://host/design?designer=ann&keyboard=qwerty",
    "a text: with an @ and a colon",
)


@pytest.mark.parametrize("uri", SECRETS)
def test_what_is_secret_is_hidden_and_taken_out(uri: str) -> None:
    hidden, bare = SECRETS[uri]
    assert has_credentials(uri)
    assert hide_credentials(uri) == hidden
    assert hide_credentials(f"cannot read '{uri}': refused (see {uri}).").count("s3cret") == 0
    assert hide_credentials(hidden) == hidden
    assert without_credentials(uri) == bare
    assert not has_credentials(bare)


def test_no_logger_writes_them(caplog: pytest.LogCaptureFixture) -> None:
    before = logging.getLogRecordFactory()
    try:
        hide_credentials_in_logs()
        logging.getLogger("a.library").warning("retrying %s", "https://ann:s3cret@host/rows")
    finally:
        logging.setLogRecordFactory(before)
    assert "retrying https://ann:***@host/rows" in caplog.text


@pytest.mark.parametrize("uri", HARMLESS)
def test_what_is_not_secret_is_left_alone(uri: str) -> None:
    assert not has_credentials(uri)
    assert hide_credentials(uri) == without_credentials(uri) == uri
