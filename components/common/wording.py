"""Values in messages: one line each, of bounded length, whatever was given."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher, get_close_matches

from kfp_llm_tuning.components.common.credentials import hide_credentials, shorten_hiding

_BRIEF = reprlib.Repr()
_BRIEF.maxstring = _BRIEF.maxother = _BRIEF.maxlong = 80
# Of longer texts only what is shown is searched for passwords.
_LONGEST_SEARCHED = 20_000
# Longer names are no misspellings.
_LONGEST_NAME = 60
# Names whose likeness differs by less are as near.
_TIE = 0.02


def shorten(text: str, characters: int = 200) -> str:
    """Leaves out a text's middle where it is longer than a message may show."""
    half = (characters - 1) // 2
    if len(text) > _LONGEST_SEARCHED:
        return "…".join(shorten_hiding(text, half))
    text = hide_credentials(text)  # Before a password that is cut in two is none any more.
    if len(text) <= characters:
        return text
    return f"{text[:half]}…{text[-half:]}"


def escape(text: str) -> str:
    r"""Writes characters that cannot be seen as ``\u....``, so that a message stays one line."""
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)


def one_line(text: object, characters: int = 200) -> str:
    """Writes a name or a path: shortened, characters that cannot be seen escaped."""
    return escape(shorten(str(text), characters))


def first_few(names: Sequence[str], most: int = 3) -> str:
    """Lists names, each in one line; of many the first."""
    shown = ", ".join(one_line(name, 80) for name in names[:most])
    return f"{shown}, ..." if len(names) > most else shown


def counted(number: float, noun: str) -> str:
    """Counts things: ``no rows``, ``1 row``, ``1,000 rows``, ``2.5 epochs``.

    Args:
        number: How many.
        noun: What is counted, in the singular; its plural ends in "s".
    """
    if number == 0:
        return f"no {noun}s"
    shown = f"{number:,}" if isinstance(number, int) else f"{number:,g}"
    return f"{shown} {noun}{'' if number == 1 else 's'}"


def short(value: object) -> str:
    """Writes any value as Python does, its middle left out before a long one is written out."""
    if isinstance(value, str):
        value = shorten(value)
    return hide_credentials(escape(_BRIEF.repr(value)))


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Finds the known name that a wrong one may mean; empty where none is near."""
    return next(iter(_close_names(name, known, cutoff)), "")


def did_you_mean(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """Asks whether the known name is meant that is nearest to a wrong one, or two as near."""
    first, *others = _close_names(name, known) or [""]
    as_near = [other for other in others if _likeness(other, name) > _likeness(first, name) - _TIE]
    found = " or ".join([first, *as_near])
    return f"Did you mean {found}?" if found else otherwise


def _close_names(name: str, known: Iterable[str], cutoff: float = 0.6) -> list[str]:
    if len(name) > _LONGEST_NAME:
        return []
    return get_close_matches(name, list(known), n=2, cutoff=cutoff)


def _likeness(known: str, name: str) -> float:
    return SequenceMatcher(a=known.lower(), b=name.lower()).ratio()
