"""The script of the report's answers, in a browser; the page without one is tested beside it."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess

import pytest

from kfp_llm_tuning.components.evaluation.comparison import compare
from kfp_llm_tuning.components.evaluation.evaluation_report import render_report

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"),
]


@pytest.fixture
def ask(make_predictions, tmp_path):
    """Runs a script on the page, and gives what it returns."""
    references = [f"answer {number}" for number in range(40)]
    base = make_predictions(["answer 0", *["\n\n\n\n"] * 39], references)
    tuned = make_predictions(["wrong  answer", *references[1:38], "x", "</script><b>y"], references)
    page = render_report(compare(base, tuned), {})

    def asked(script: str) -> object:
        asking = (
            "<script>setTimeout(async () => { const found = await (async () => {"
            f"{script}"
            "})(); document.body.dataset.found = JSON.stringify(found); }, 100)</script></body>"
        )
        file = tmp_path / "page.html"
        file.write_text(page.replace("</body>", asking), encoding="utf-8")
        dumped = subprocess.run(
            [
                str(CHROMIUM),
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                f"--user-data-dir={tmp_path / 'profile'}",
                "--virtual-time-budget=3000",
                "--dump-dom",
                file.as_uri(),
            ],
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        ).stdout
        [found] = re.findall(r'<body data-found="(.*?)"', dumped)
        return json.loads(html.unescape(found))

    return asked


SHOWN = "[...document.querySelectorAll('.example .kind')].map(kind => kind.textContent)"


def test_answers_are_shown_a_page_at_a_time_filtered_and_searched(ask):
    found = ask(f"""
        const click = selector => document.querySelector(selector).click();
        const search = document.getElementById("answer-search");
        const count = () => document.getElementById("answer-count").textContent;
        const first = {SHOWN};
        click("#answer-more");
        const all = {SHOWN}.length;
        click('[data-kind="still wrong"]');
        const wrong = {SHOWN};
        click('[data-kind=""]');
        search.value = "WRONG answer";
        search.dispatchEvent(new Event("input"));
        return [first, all, wrong, {SHOWN}, count()];
    """)
    assert found == [
        ["broken", "still wrong", "still wrong", *["improved"] * 7],
        40,
        ["still wrong", "still wrong"],
        ["broken"],
        "1 of 40",
    ]


def test_white_space_and_differences_are_marked_and_text_stays_text(ask):
    found = ask("""
        const [broken, wrong] = document.querySelectorAll(".example");
        const boxes = [...broken.querySelectorAll("pre")].map(box => box.innerHTML);
        const lines = [...document.querySelectorAll("i.lines")].map(line => line.dataset.count);
        return [boxes, lines[0], document.querySelectorAll(".example b:not(.kind)").length,
                [...document.querySelectorAll("ins")].some(i => i.textContent.includes("<b>"))];
    """)
    [[expected, base, tuned], lines, bold, escaped] = found
    assert (expected, base) == ("answer 0", "answer 0")
    assert re.search(r"<ins>wrong.*</ins>", tuned)
    assert '<i class="space"> </i>' in tuned
    assert "<del>" in tuned
    assert lines == "4"
    # The scores alone: what a model wrote is no markup.
    assert bold == 10
    assert escaped


def test_all_answers_can_be_downloaded(ask):
    found = ask("""
        const files = [];
        URL.createObjectURL = blob => { files.push(blob); return "#"; };
        HTMLAnchorElement.prototype.click = function () { files.push(this.download); };
        for (const button of document.querySelectorAll("[data-format]")) button.click();
        return [files[1], await files[0].text(), files[3], await files[2].text()];
    """)
    [jsonl_name, lines, csv_name, table] = found
    assert (jsonl_name, csv_name) == ("answers.jsonl", "answers.csv")
    rows = [json.loads(line) for line in lines.splitlines()]
    assert len(rows) == 40
    assert rows[0]["tuned"] == "wrong  answer"
    assert rows[0]["reference"] == "answer 0"
    assert table.startswith("line,turn,kind,prompt,reference,base,tuned,base_score,tuned_score\r\n")
    assert '"</script><b>y"' in table
