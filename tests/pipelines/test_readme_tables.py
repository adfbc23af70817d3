"""The READMEs say what the interfaces are."""

from __future__ import annotations

from pathlib import Path

import pytest

from kfp_llm_tuning.pipelines import readme_tables

STAGES = [path.parent.name for path in readme_tables.readmes()]


def test_every_stage_with_components_is_found() -> None:
    assert STAGES == ["dataset", "evaluation", "tuning", "upload", "validation"]


@pytest.mark.parametrize("stage", STAGES)
def test_readme_is_current(stage: str) -> None:
    text = (readme_tables.COMPONENTS / stage / "README.md").read_text(encoding="utf-8")
    assert readme_tables.with_interface(text, stage) == text, "run `make readme`"


@pytest.mark.parametrize("stage", STAGES)
def test_every_input_and_output_is_described(stage: str) -> None:
    rows = [line for line in readme_tables.interface(stage).splitlines() if line.startswith("| `")]
    assert rows
    assert [row for row in rows if row.endswith("|  |")] == []


def test_tables_say_type_default_and_meaning() -> None:
    text = readme_tables.interface("upload")
    assert text.startswith("### upload-llm-model\n\nRegisters a tuned model in MLflow")
    assert "| `saved_model` | Model | required | The tuned model," in text
    assert "| `upload_model` | Boolean | `true` | Whether to register;" in text
    assert '| `upload_reason` | String | `""` |' in text
    assert "| `tensorboard_uri` | String | The folder of event files" in text


def test_main_rewrites_only_what_is_between_the_marks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readme = tmp_path / "upload" / "README.md"
    readme.parent.mkdir()
    readme.write_text("before\n<!-- interface -->\nstale words\n<!-- /interface -->\nafter\n")
    monkeypatch.setattr(readme_tables, "readmes", lambda: [readme])
    readme_tables.main()
    text = readme.read_text()
    assert text.startswith("before\n<!-- interface -->\n\n### upload-llm-model\n")
    assert text.endswith("|\n\n<!-- /interface -->\nafter\n")
    assert "stale words" not in text
    assert readme_tables.with_interface(text, "upload") == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<!-- interface -->",
        "<!-- /interface --><!-- interface -->",
        "<!-- interface --><!-- /interface -->" * 2,
    ],
)
def test_readme_without_proper_marks(text: str) -> None:
    with pytest.raises(ValueError, match="once each"):
        readme_tables.with_interface(text, "upload")
