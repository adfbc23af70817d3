"""The READMEs and docs say what the interfaces are."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from kfp_llm_tuning.components.parameters.pipeline import TEXT
from kfp_llm_tuning.components.parameters.tuner import ARGUMENTS
from kfp_llm_tuning.pipelines.compiling import readme_tables
from kfp_llm_tuning.pipelines.compiling.component_list import stages

STAGES = stages()
PAGES = readme_tables.pages()


def test_every_stage_with_components_is_found() -> None:
    assert STAGES == ["dataset", "evaluation", "tuning", "upload", "validation"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.name}")
def test_page_is_current(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert readme_tables.with_interface(text, PAGES[page]()) == text, "run `make readme`"


def test_every_root_input_and_every_argument_is_in_its_table() -> None:
    inputs, arguments = readme_tables.parameters_table().split("## Arguments of the tuner")
    for table, parameters in ((inputs, TEXT), (arguments, ARGUMENTS)):
        rows = [line for line in table.splitlines() if line.startswith("| `")]
        assert [row.split("`")[1] for row in rows] == list(parameters)
    assert (
        '| `evaluation_data_uri` | str | `""` | any | both | every | published for text |' in inputs
    )
    assert (
        "| `lora_rank` | int | `16` | from 1 to 4,096 | peft.LoraConfig.r | `--lora-rank` |"
        in arguments
    )


@pytest.mark.parametrize("stage", STAGES)
def test_every_input_and_output_is_described(stage: str) -> None:
    rows = [line for line in readme_tables.interface(stage).splitlines() if line.startswith("| `")]
    assert rows
    assert [row for row in rows if row.endswith("|  |")] == []


def test_tables_say_type_default_and_meaning() -> None:
    text = readme_tables.interface("upload")
    assert text.startswith("### upload-llm-model\n\nRegisters a tuned model")
    assert "| `saved_model` | Model | required | The tuned model," in text
    assert "| `upload_model` | Boolean | `true` | Whether to register;" in text
    assert '| `upload_reason` | String | `""` |' in text
    assert "| `tensorboard_uri` | String | " in text


def test_main_rewrites_only_what_is_between_the_marks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readme = tmp_path / "upload" / "README.md"
    readme.parent.mkdir()
    readme.write_text("before\n<!-- interface -->\nstale words\n<!-- /interface -->\nafter\n")
    tables = partial(readme_tables.interface, "upload")
    monkeypatch.setattr(readme_tables, "pages", lambda: {readme: tables})
    readme_tables.main()
    text = readme.read_text()
    assert text.startswith("before\n<!-- interface -->\n\n### upload-llm-model\n")
    assert text.endswith("|\n\n<!-- /interface -->\nafter\n")
    assert "stale words" not in text
    assert readme_tables.with_interface(text, tables()) == text


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
