from __future__ import annotations

from pathlib import Path

import pytest

from kfp_llm_tuning.components.models.model_card import licence


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        ("---\nlicense: apache-2.0\ntags: [a]\n---\n# Model\n", "apache-2.0"),
        ("---\ntags: [a]\n---\nlicense: mit\n", ""),
        ("---\nlicense: [mit, apache-2.0]\n---\n", ""),
        ("---\nlicense: 'mit\n---\n", ""),
        ("# Model\n---\nlicense: mit\n---\n", ""),
        ("", ""),
        (None, ""),
    ],
    ids=["named", "not named", "several", "no YAML", "no metadata", "empty", "no card"],
)
def test_the_licence_is_what_the_card_says(tmp_path: Path, card: str | None, expected: str) -> None:
    if card is not None:
        (tmp_path / "README.md").write_text(card, encoding="utf-8")
    assert licence(tmp_path) == expected
