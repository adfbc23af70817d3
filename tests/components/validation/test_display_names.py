from __future__ import annotations

import pytest

from kfp_llm_tuning.components.validation.display_names import with_run_time


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("support-{date}", "support-2026-11-24"),
        ("{date} {time}", "2026-11-24 083258"),
        ("100% done {year}", "100% done {year}"),
    ],
)
def test_the_time_of_the_run_is_written_where_it_is_asked_for(name: str, expected: str) -> None:
    assert with_run_time(name, "2026-11-24T08:32:58.123456Z") == expected


def test_without_a_time_the_name_stays() -> None:
    assert with_run_time("support-{date}", "") == "support-{date}"
