"""What a URI stands for: files, folders, patterns, lists."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.data.formats.published import PUBLISHED_TEXT
from kfp_llm_tuning.components.data.reading.findings import Findings, list_problems
from kfp_llm_tuning.components.data.reading.places import Place
from kfp_llm_tuning.components.data.reading.row_format import detect_format
from kfp_llm_tuning.components.data.reading.scan import scan
from kfp_llm_tuning.components.data.rows import TextRow
from kfp_llm_tuning.components.data.sources.files import list_files

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Writes files of one row each, whose text is the file's name."""

    def write(*names: str) -> Path:
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".csv":
                path.write_text(f"input_text,output_text\n{name},b\n")
            else:
                path.write_text(f'{{"input_text": "{name}", "output_text": "b"}}\n')
        return tmp_path

    return write


def texts(uri: str) -> list[str]:
    found: list[str] = []
    findings = Findings(20)

    def visit(_: object, row: object) -> None:
        assert isinstance(row, TextRow)
        found.append(row.input_text)

    scan(uri, PUBLISHED_TEXT, findings, visit)
    assert not list_problems(findings)
    return found


def test_several_files_are_read_in_order(make: Make) -> None:
    folder = make("b.jsonl", "a.csv", "c.jsonl")
    assert texts(f"{folder}/b.jsonl, {folder}/a.csv") == ["b.jsonl", "a.csv"]
    assert texts(f"{folder}/*.jsonl") == ["b.jsonl", "c.jsonl"]
    assert texts(f"{folder}/[a-b].*,{folder}/c.jsonl") == ["a.csv", "b.jsonl", "c.jsonl"]


def test_a_file_of_the_very_name_comes_first(make: Make) -> None:
    folder = make("a,b.jsonl", "a*.jsonl", "a1.jsonl")
    assert texts(f"{folder}/a,b.jsonl") == ["a,b.jsonl"]
    assert texts(f"{folder}/a*.jsonl") == ["a*.jsonl"]


def test_a_folder_gives_its_training_split(make: Make) -> None:
    folder = make("set/data/train-00000-of-00001.jsonl", "set/data/test-00000-of-00001.jsonl")
    assert texts(f"{folder}/set") == ["set/data/train-00000-of-00001.jsonl"]
    assert texts(f"{folder}/set?split=test") == ["set/data/test-00000-of-00001.jsonl"]
    with pytest.raises(UserError, match=r"no split 'dev'. Allowed: .*train, test.*split=NAME"):
        list_files(f"{folder}/set?split=dev")


def test_a_folder_of_parts_is_read_whole(make: Make) -> None:
    folder = make("out/part-1.jsonl", "out/part-0.csv", "out/notes.txt", "out/.hidden.jsonl")
    assert texts(f"{folder}/out") == ["out/part-0.csv", "out/part-1.jsonl"]


def test_configs_of_a_card_are_kept(make: Make) -> None:
    folder = make("set/a.jsonl", "set/b.jsonl", "set/c.jsonl")
    (folder / "set/README.md").write_text(
        "---\nconfigs:\n- config_name: one\n  data_files:\n  - split: train\n    path: b.jsonl\n"
        "- config_name: two\n  data_files: [a.jsonl, c.jsonl]\n---\n# A set\n"
    )
    assert texts(f"{folder}/set?config=one") == ["set/b.jsonl"]
    assert texts(f"{folder}/set?config=two&split=train") == ["set/a.jsonl", "set/c.jsonl"]
    with pytest.raises(UserError, match="several configs. Allowed: one, two. Name one behind it"):
        list_files(f"{folder}/set")


def test_a_saved_set_gives_its_rows(tmp_path: Path) -> None:
    from datasets import Dataset, DatasetDict

    rows = Dataset.from_list([{"input_text": f"row {i}", "output_text": "b"} for i in range(4)])
    rows.save_to_disk(tmp_path / "one", num_shards=2)
    assert texts(f"{tmp_path}/one") == ["row 0", "row 1", "row 2", "row 3"]
    both = DatasetDict({"train": rows.select([1]), "test": rows.select([2])})
    both.save_to_disk(tmp_path / "both")
    assert texts(f"{tmp_path}/both") == ["row 1"]
    assert texts(f"{tmp_path}/both?split=test") == ["row 2"]


def test_places_name_the_file_of_several(make: Make) -> None:
    folder = make("set/a.jsonl", "set/b.jsonl")
    with (folder / "set/b.jsonl").open("a") as stream:
        stream.write('{"input_text": "a"}\n')
    findings = Findings(20)
    scan(f"{folder}/set", PUBLISHED_TEXT, findings, lambda place, row: None)
    (problem,) = list_problems(findings)
    assert problem.where.startswith("set/b.jsonl line 2")


def test_stores_have_folders_and_patterns_too() -> None:
    store = fsspec.filesystem("memory")
    row = b'{"input_text": "a", "output_text": "b"}\n'
    for name in ("train.jsonl", "test.jsonl", "more/x.jsonl"):
        store.pipe(f"/a-set/{name}", row)
    assert [file.uri for file in list_files("memory://a-set")] == ["memory:///a-set/train.jsonl"]
    found = [file.name for file in list_files("memory://a-set/*.jsonl")]
    assert found == ["a-set/test.jsonl", "a-set/train.jsonl"]
    assert texts("memory://a-set/*/x.jsonl") == ["a"]


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("none.jsonl", ["no file at"]),
        ("none*.jsonl", ["no file matches"]),
        ("a.jsonl,b.jsonl,c*", ["no file at .*b.jsonl", r"no file matches .*c\*"]),
        ("", ["no file is named"]),
        ("hf://only", ["names no dataset"]),
    ],
)
def test_all_that_is_missing_is_told(
    uri: str, expected: list[str], make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(make("a.jsonl"))
    with pytest.raises(UserError) as caught:
        list_files(uri, where="dataset_uri")
    for problem, text in zip(caught.value.problems, expected, strict=True):
        assert problem.where == "dataset_uri"
        assert re.search(text, problem.what)


def test_lines_of_several_files_are_numbered_through(make: Make) -> None:
    folder = make("a.csv", "b.jsonl", "c.csv")
    places: list[Place] = []
    uri = f"{folder}/a.csv,{folder}/b.jsonl,{folder}/c.csv"
    scan(uri, detect_format(uri), Findings(20), lambda place, row: places.append(place))
    assert [place.number for place in places] == [1, 2, 3]
    assert [str(place).partition("/")[2] for place in places] == [
        "a.csv line 2",
        "b.jsonl line 1",
        "c.csv line 2",
    ]
