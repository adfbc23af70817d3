from __future__ import annotations

from typing import Any

import pytest

from kfp_llm_tuning.components.upload.prediction_answers import error_text, prediction_text

PAGE = """<!DOCTYPE html>
<html lang=en><title>Error 502 (Server Error)!!1</title>
<style>p{margin:11px 0}</style><script>if (a < b) {}</script>
<p><b>502.</b> <ins>That's an error.</ins></p></html>"""


@pytest.mark.parametrize(
    ("predictions", "text"),
    [
        ([{"content": "Hi", "safetyAttributes": {"blocked": False}}], "Hi"),
        ([{"content": ""}], ""),
        ([{"candidates": [{"author": "bot", "content": "Hi"}, {"content": "Ho"}]}], "Hi"),
        ([], None),
        ([{"content": "one"}, {"content": "two"}], None),
        ([{"content": None}], None),
        ([{"candidates": []}], None),
        ([{"text": "Hi"}], None),
        (["Hi"], None),
    ],
)
def test_text_of_a_prediction(predictions: list[Any], text: str | None) -> None:
    assert prediction_text(predictions) == text


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("Model server exited unexpectedly.", "Model server exited unexpectedly."),
        ('{"error": {"code": 400, "message": "No\\nprompt."}}', "No prompt."),
        ('POST http://h/x: {"detail": "No prompt."}', "No prompt."),
        ('{"error": "No prompt."}', "No prompt."),
        ('{"detail": [{"loc": ["body"]}]}', '[{"loc": ["body"]}]'),
        ("expected {prompt}, got {text}", "expected {prompt}, got {text}"),
        (PAGE, "Error 502 (Server Error)!!1 502. That's an error."),
        ("", ""),
    ],
)
def test_words_of_a_server(text: str, short: str) -> None:
    assert error_text(text) == short


def test_many_words_are_cut() -> None:
    assert len(error_text("word " * 1000)) < 700
