"""Pages: self-contained, escaped; charts: inline SVG."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from jinja2 import UndefinedError

from kfp_llm_tuning.components.common import charts, report


@pytest.fixture
def template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    folder = Path(report.__file__).parent
    monkeypatch.setattr(report, "_COMPONENTS", tmp_path)
    (tmp_path / "common").mkdir()
    base = (folder / "base.html.j2").read_text(encoding="utf-8")
    (tmp_path / "common" / "base.html.j2").write_text(base, encoding="utf-8")
    (tmp_path / "page.html.j2").write_text(
        '{% extends "base.html.j2" %}'
        "{% block content %}{{ text }} {{ count|number }} {{ chart|svg }}{% endblock %}",
        encoding="utf-8",
    )
    return "page.html.j2"


def test_a_page_escapes_data_and_names_no_other_host(template: str) -> None:
    chart = charts.histogram([1, 2, 2], "Lengths", "tokens", "rows", limit=2)
    page = report.render(
        template, "T <x>", text="<script>alert(1)</script>", count=1234567, chart=chart
    )
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "1,234,567" in page
    assert "<svg" in page
    assert 'src="http' not in page
    assert 'href="http' not in page


def test_a_name_that_the_page_lacks_is_an_error(template: str) -> None:
    with pytest.raises(UndefinedError):
        report.render(template, "T")


@pytest.mark.parametrize(
    "chart",
    [
        charts.histogram([], "Empty", "x", "y"),
        charts.bars(["a & b", "<c>"], [1, 2], "Bars"),
        charts.bars([], [], "No bars"),
        charts.lines({"a": ([1, 2], [3, 4]), "b": ([1], [2])}, "Lines", "x", "y"),
        charts.lines({}, "No lines", "x", "y"),
        charts.confusion_matrix([[3, 0], [1, 9]], ["yes", "no"]),
    ],
)
def test_charts_are_well_formed_and_take_the_pages_colour(chart: str) -> None:
    assert ElementTree.fromstring(chart).tag.endswith("svg")
    assert "currentColor" in chart


@pytest.mark.parametrize(
    ("low", "high", "most", "edges"),
    [
        (7, 7, 30, [6.5, 7.5]),
        (7, 9, 30, [6.5, 7.5, 8.5, 9.5]),
        (0, 9, 5, [-0.5, 1.5, 3.5, 5.5, 7.5, 9.5]),
        (0, 6, 3, [-0.5, 2.5, 5.5, 8.5]),
    ],
)
def test_columns_hold_whole_numbers(low: int, high: int, most: int, edges: list[float]) -> None:
    assert charts._edges(low, high, most) == edges


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (5, "5"),
        (12345, "12,345"),
        (0.123456, "0.1235"),
        (0.0, "0"),
        (98765.4, "98,765"),
        (35_416_897_139_984.0, "3.542e+13"),
        (12_345_678_901, "12,345,678,901"),
        (float("inf"), "inf"),
    ],
)
def test_numbers_are_written_for_people(value: float | None, text: str) -> None:
    assert report._number(value) == text


def test_a_report_that_cannot_be_written_is_a_page_that_says_so() -> None:
    def fail() -> str:
        raise ValueError("no <font>")

    page = report.written("Dataset check", fail)
    assert "could not be written" in page
    assert "ValueError: no &lt;font&gt;" in page
    assert report.written("Dataset check", lambda: "page") == "page"
