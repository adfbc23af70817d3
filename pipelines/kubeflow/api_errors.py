"""What the refusals of Kubeflow Pipelines mean to a user, and what to do about each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import urllib3
from kfp_server_api import ApiException  # type: ignore[import-untyped]

from kfp_llm_tuning.components.common.errors import Problem, UserError

__all__ = ["NETWORK_ERRORS", "ApiException", "explained", "is_transient", "is_unreached"]

NETWORK_ERRORS = (urllib3.exceptions.HTTPError, OSError)
_UNREACHED = (
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.ConnectTimeoutError,
    urllib3.exceptions.SSLError,
)
_AGAIN = "Run it again: what was done is found again, and nothing is done twice."
_UNREACHABLE = "Check --host, and that this machine reaches it (a port-forward, a proxy, a VPN)."
_CERTIFICATE = "Give the certificates that it is checked against with --ca-file."
_IDENTITY = (
    "Give --token (kubectl create token ACCOUNT --audience pipelines.kubeflow.org), and where each "
    "user has a namespace --namespace."
)
_FIXES = {
    400: "",
    401: _IDENTITY,
    403: f"The account may not do this in this namespace. {_IDENTITY}",
    404: "Check the id, --namespace and --host.",
    429: _AGAIN,
}
_TOO_MANY_REQUESTS = 429
_SERVER_ERRORS = 500
# Another try may mend these; 500 is how the server answers many a mistake too.
_TRANSIENT = (_TOO_MANY_REQUESTS, 502, 503, 504)


def is_transient(error: BaseException) -> bool:
    """Tells whether another try may mend an error."""
    if isinstance(error, ApiException):
        return error.status in _TRANSIENT
    return isinstance(error, NETWORK_ERRORS)


def is_unreached(error: BaseException) -> bool:
    """Tells whether a request never got to the server: nobody is there, or nobody it trusts."""
    return isinstance(getattr(error, "reason", error), _UNREACHED)


@contextmanager
def explained(doing: str, where: str = "") -> Iterator[None]:
    """Turns refusals into errors that say what to do.

    Args:
        doing: What is done, for messages: "start the run".
        where: The parameter that is at fault.

    Yields:
        Once.

    Raises:
        UserError: For every refusal, and for a server that does not answer.
    """
    from google.api_core.exceptions import RetryError

    try:
        yield
    except RetryError as error:
        cause = error.cause if isinstance(error.cause, Exception) else error
        raise UserError(_problem(cause, doing, where)) from cause
    except (ApiException, *NETWORK_ERRORS) as error:
        raise UserError(_problem(error, doing, where)) from error


def _problem(error: Exception, doing: str, where: str) -> Problem:
    what = f"could not {doing}: {_text(error)}"
    return Problem(what, where or "Kubeflow Pipelines", fix=_fix(error))


def _text(error: Exception) -> str:
    if not isinstance(error, ApiException):
        reason: Any = getattr(error, "reason", None) or error
        return f"{str(reason).rstrip('.')}."
    text = _message(error.body) or str(error.reason)
    status = f" ({error.status})" if error.status else ""
    return f"{text.rstrip('.')}{status}."


def _message(body: Any) -> str:
    """Reads the message that is meant for people; the one around it has the server's own words."""
    try:
        content = json.loads(body)
        details = content.get("details") or [{}]
        return str(details[0].get("message") or content.get("message") or content["error_message"])
    except (TypeError, ValueError, KeyError, AttributeError, IndexError):
        # Proxies answer in their own words, often as a whole page.
        text = body.decode(errors="replace") if isinstance(body, bytes) else str(body or "")
        return "" if "<" in text else text.strip()[:500]


def _fix(error: Exception) -> str:
    if "certificate" in str(error).lower():
        return _CERTIFICATE
    if not isinstance(error, ApiException):
        return _UNREACHABLE
    default = _AGAIN if error.status >= _SERVER_ERRORS else ""
    return _FIXES.get(error.status, default)
