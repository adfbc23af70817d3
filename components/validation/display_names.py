"""Display names that say when their run began, so that each run of a schedule has its own."""

from __future__ import annotations

from datetime import datetime

# Written in braces, which names hardly hold otherwise; every other character stays as it is.
_PLACEHOLDERS = {"{date}": "%Y-%m-%d", "{time}": "%H%M%S"}


def with_run_time(display_name: str, run_time: str) -> str:
    """Writes the time of the run into a display name.

    Args:
        display_name: May hold ``{date}`` and ``{time}``.
        run_time: When the run was created, ISO 8601; empty where the platform does not say, a
            placeholder where an older backend left it in its place.

    Returns:
        The name, ``support-{date}`` as ``support-2026-11-24``; unchanged without a time.
    """
    if not is_known_time(run_time):
        return display_name
    created = datetime.fromisoformat(run_time)
    for placeholder, form in _PLACEHOLDERS.items():
        display_name = display_name.replace(placeholder, created.strftime(form))
    return display_name


def is_known_time(run_time: str) -> bool:
    """Tells whether a time is one: neither empty nor a placeholder that nobody replaced."""
    return bool(run_time) and not run_time.startswith("{{")


def has_time_placeholder(display_name: str) -> bool:
    """Tells whether a display name is to hold the date or the time of its run."""
    return any(placeholder in display_name for placeholder in _PLACEHOLDERS)
