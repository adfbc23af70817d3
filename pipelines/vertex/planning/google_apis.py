"""Asks Google's REST APIs for facts about a project; changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from google.api_core import exceptions
from google.auth import exceptions as auth_exceptions

from kfp_llm_tuning.components.common.vertex import READ
from kfp_llm_tuning.components.common.vertex_errors import explained

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_TIMEOUT = 30.0


class GoogleApis:
    """Google's APIs, asked with the credentials of this machine."""

    def __init__(self) -> None:
        """Finds the credentials.

        Raises:
            UserError: If there are none, or if they no longer work.
        """
        import google.auth
        from google.auth.transport.requests import AuthorizedSession

        with explained("find credentials"):
            credentials, _ = google.auth.default(scopes=[_SCOPE])
            self._session = AuthorizedSession(credentials)  # type: ignore[no-untyped-call]
        self.account = str(getattr(credentials, "service_account_email", "") or "this user")

    def get(self, url: str, doing: str) -> dict[str, Any]:
        """Reads something.

        Args:
            url: Its whole URL.
            doing: What is read, for messages: "read the bucket x".

        Returns:
            The JSON answer.

        Raises:
            UserError: If it is refused.
        """
        return self._call("GET", url, doing)

    def find(self, url: str, doing: str) -> dict[str, Any] | None:
        """Reads something that may not be there.

        Args:
            url: Its whole URL.
            doing: What is read, for messages.

        Returns:
            The JSON answer; None where there is no such thing.

        Raises:
            UserError: If it is refused.
        """
        with explained(doing):
            try:
                return self._retried("GET", url, None)
            except exceptions.NotFound:
                return None

    def pages(self, url: str, field: str, doing: str) -> Iterator[dict[str, Any]]:
        """Reads a list to its end.

        Args:
            url: The list's whole URL, without a query.
            field: The field that holds the items.
            doing: What is read, for messages.

        Yields:
            The items.

        Raises:
            UserError: If it is refused.
        """
        token = ""
        while True:
            answer = self._call("GET", f"{url}?pageSize=500&pageToken={token}", doing)
            yield from answer.get(field, [])
            token = answer.get("nextPageToken", "")
            if not token:
                return

    def ask(self, url: str, body: Mapping[str, Any], doing: str) -> dict[str, Any]:
        """Asks a question that is a POST, such as which permissions are granted.

        Args:
            url: The method's whole URL.
            body: The question.
            doing: What is asked, for messages.

        Returns:
            The JSON answer.

        Raises:
            UserError: If it is refused.
        """
        return self._call("POST", url, doing, body)

    def _call(
        self, verb: str, url: str, doing: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        with explained(doing):
            return self._retried(verb, url, body)

    def _retried(self, verb: str, url: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        answer: dict[str, Any] = READ["retry"](self._once)(verb, url, body)
        return answer

    def _once(self, verb: str, url: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        response = self._session.request(  # type: ignore[no-untyped-call]
            verb, url, json=body, timeout=_TIMEOUT
        )
        if not response.ok:
            raise exceptions.from_http_response(response)  # type: ignore[no-untyped-call]
        try:
            answer: dict[str, Any] = response.json()
        except ValueError as error:
            what = f"{url} did not answer with JSON"
            raise auth_exceptions.TransportError(what) from error  # type: ignore[no-untyped-call]
        return answer
