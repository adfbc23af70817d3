"""Cron expressions."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.pipelines.jobs.cron import frequency_notes, with_time_zone


@pytest.mark.parametrize(
    ("cron", "zone", "expected"),
    [
        ("0 9 * * 1", "", "TZ=UTC 0 9 * * 1"),
        ("0 9 * * 1", "Europe/Berlin", "TZ=Europe/Berlin 0 9 * * 1"),
        ("TZ=Asia/Tokyo 0 9 * * MON-FRI", "", "TZ=Asia/Tokyo 0 9 * * MON-FRI"),
        ("CRON_TZ=Asia/Tokyo 0 9 * * 1", "Asia/Tokyo", "TZ=Asia/Tokyo 0 9 * * 1"),
        ("*/15 0-6,20-23/2 1,15 jan-mar 0", "", "TZ=UTC */15 0-6,20-23/2 1,15 jan-mar 0"),
        ("  0   9 * * 7 ", "", "TZ=UTC 0 9 * * 7"),
    ],
)
def test_good_expressions(cron: str, zone: str, expected: str) -> None:
    assert with_time_zone(cron, zone) == expected


@pytest.mark.parametrize(
    ("cron", "zone", "message"),
    [
        ("0 9 * *", "", "'0 9 * *' has 4 fields"),
        ("60 9 * * 1", "", "'60' is no minute"),
        ("0 24 * * 1", "", "'24' is no hour"),
        ("0 9 0 * 1", "", "'0' is no day of the month"),
        ("0 9 * 13 1", "", "'13' is no month"),
        ("0 9 * * 8", "", "'8' is no day of the week"),
        ("0 9 * * fri-mon", "", "'fri-mon' is no day of the week"),
        ("0 */0 * * 1", "", "'*/0' is no hour"),
        ("@weekly", "", "has 1 fields"),
        ("0 9 * * 1", "Europe/Berlim", "'Europe/Berlim' is no time zone"),
        ("0 9 * * 1", "/etc/passwd", "is no time zone"),
        ("TZ=Asia/Tokyo 0 9 * * 1", "Europe/Berlin", "Give one of them"),
    ],
)
def test_bad_expressions(cron: str, zone: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        with_time_zone(cron, zone)
    assert message in str(caught.value)


def test_every_mistake_is_told() -> None:
    with pytest.raises(UserError) as caught:
        with_time_zone("60 24 * * 1", "Nowhere")
    assert len(caught.value.problems) == 3


@given(st.text(max_size=30), st.text(max_size=10))
def test_any_text_is_taken_or_refused(cron: str, zone: str) -> None:
    with contextlib.suppress(UserError):
        assert with_time_zone(cron, zone).startswith("TZ=")


@pytest.mark.parametrize("cron", ["0 9 31 2 *", "0 9 30,31 feb *", "0 9 31 4-4,6 *"])
def test_a_day_that_no_month_has_is_refused(cron: str) -> None:
    with pytest.raises(UserError, match="never comes: no such month has such a day"):
        with_time_zone(cron, "")


@pytest.mark.parametrize("cron", ["0 9 29 2 *", "0 9 31 2 mon", "0 9 31 2-3 *", "0 9 */31 2 *"])
def test_a_day_that_comes_is_let_through(cron: str) -> None:
    assert with_time_zone(cron, "").endswith(cron)


@pytest.mark.parametrize(
    ("cron", "starts", "hourly"),
    [
        ("* * * * *", 60, "0 * * * *"),
        ("TZ=Europe/Berlin * 9 * * 1", 60, "0 9 * * 1"),
        ("*/10 * * * mon", 6, "0 * * * mon"),
        ("0-20/2,40 3 * * *", 12, "0 3 * * *"),
    ],
)
def test_starts_every_few_minutes_are_told(cron: str, starts: int, hourly: str) -> None:
    (note,) = frequency_notes(cron)
    assert f"starts {starts} runs in each of its hours" in note
    assert note.endswith(f"Once an hour would be {hourly}.")


@pytest.mark.parametrize("cron", ["0 9 * * 1", "*/15 * * * *", "TZ=UTC 5,35 */2 * * *"])
def test_other_schedules_are_not_remarked_on(cron: str) -> None:
    assert frequency_notes(cron) == ()
