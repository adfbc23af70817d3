"""Keeps passwords in URIs out of what people and programs may read: logs, messages, records."""

from __future__ import annotations

import logging
import re

_HIDDEN = "***"
# What stands for a password in USER:PASSWORD@HOST. It may hold an @ or, as SQLAlchemy reads it, a
# slash; a port before a path that holds an @ is none. Bounded, so that no line takes long.
_PASSWORD = re.compile(r"(://[^/\s:@'\"]{0,256}:)(?!\d{1,5}(?:[/?#]|$))[^\s'\"]{1,1024}(?=@)")
# A token alone, as hubs of code take it; of databases it is the user.
_TOKEN = re.compile(r"((?:https?|ftps?|git)://)[^/\s:@'\"]{1,1024}(?=@)", re.IGNORECASE)
# Signed links, and what drivers of databases take in a query.
_QUERY = re.compile(
    r"([?&;](?:[\w.-]{0,64}(?:password|passwd|secret|token|signature|credential"
    r"|(?:access|api|account)[_-]?key)[\w.-]{0,64}|sig|pwd)=)[^&;\s'\"]{1,4096}",
    re.IGNORECASE,
)
# None of the three matches more characters.
_LONGEST_MATCH = 4_352
_USERINFO = re.compile(r"^([\w+.-]+://)[^\s]*@")


def hide_credentials(text: str) -> str:
    """Puts ``***`` in the place of every password, token and signature of the URIs in a text.

    Args:
        text: A URI, or a text with some.

    Returns:
        The text, otherwise unchanged.
    """
    return _hidden(text) if "://" in text else text


def shorten_hiding(text: str, characters: int) -> tuple[str, str]:
    """Takes both ends of a text, with secrets hidden; however long it is, only they are read.

    Args:
        text: At any length. Of its ends alone nobody sees whether they are of a URI: what looks
            like a secret is one.
        characters: Of each end.

    Returns:
        The two ends; shorter where much is hidden.
    """
    # A secret that the slice cuts is not recognised: what may be a part of one is left out again.
    reach = characters + 2 * _LONGEST_MATCH
    first = _hidden(text[:reach])[:-_LONGEST_MATCH]
    last = _hidden(text[-reach:])[_LONGEST_MATCH:]
    return first[:characters], last[-characters:]


def _hidden(text: str) -> str:
    for pattern in (_PASSWORD, _TOKEN, _QUERY):
        text = pattern.sub(rf"\1{_HIDDEN}", text)
    return text


def has_credentials(uri: str) -> bool:
    """Tells whether a URI holds a password, a token or a signature."""
    return hide_credentials(uri) != uri


def without_credentials(uri: str) -> str:
    """Takes what is secret out of a URI, and leaves one that still names the place.

    Args:
        uri: The URI.

    Returns:
        The URI without a user where that had a password or was a token, and without the secret
        values of its query.
    """
    if not has_credentials(uri):
        return uri
    if _PASSWORD.search(uri) or _TOKEN.search(uri):
        uri = _USERINFO.sub(r"\1", uri)
    return _QUERY.sub(r"\1", uri)


def hide_credentials_in_logs() -> None:
    """Has every logger of this process, a library's too, hide them from now on."""
    logging.setLogRecordFactory(_Record)


class _Record(logging.LogRecord):
    """A message whose secrets are hidden, whatever handler writes it."""

    def getMessage(self) -> str:  # noqa: N802
        return hide_credentials(super().getMessage())
