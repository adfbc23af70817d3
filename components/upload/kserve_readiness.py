"""Waits until a service of KServe answers with the version that it was given."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

import requests

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.kubernetes_objects import KubernetesObjects
from kfp_llm_tuning.components.upload.prediction_answers import error_text

# Seconds between two looks; and for how long a model may fail to load before it is given up.
_PAUSE = 5.0
_PATIENCE = 300.0
_FAILED = ("BlockedByFailedLoad", "InvalidSpec")
_REFUSED = (401, 403)

_logger = logging.getLogger(__name__)


class ReadinessWait:
    """Waits for a service, and remembers what it said of itself.

    Attributes:
        url: Its address outside the cluster, where it has one, once it answers.
    """

    def __init__(self, services: KubernetesObjects, name: str, seconds: float) -> None:
        """Begins to wait.

        Args:
            services: Where the service is.
            name: Its name.
            seconds: How long to wait.
        """
        self._services = services
        self._name = name
        self._deadline = time.monotonic() + seconds
        self._seconds = seconds
        self._said = ""
        self._failing_since: float | None = None
        self.url = ""

    def for_answer(self, route: str) -> str:
        """Waits until the server of this version is healthy.

        Ready alone says little: right after a change it is still said of the version before.

        Args:
            route: What only that server answers at.

        Returns:
            The address to ask it at; empty where the cluster lets no pod of ours ask.

        Raises:
            UserError: If it does not become healthy in time, fails to load again and again, or is
                deleted.
        """
        while time.monotonic() < self._deadline:
            status = self._status()
            address = self._address(status)
            answered = _health(address + route) if address and _is_ready(status) else None
            if answered == requests.codes.ok:
                return address
            if answered in _REFUSED:
                what = "%s was not asked whether it answers: %s refuses this pod (HTTP %s)."
                _logger.warning(what, self._name, address, answered)
                return ""
            asked = f"is ready, but {address}{route} answers {answered or 'nothing'}"
            self._note(_conditions(status) if answered is None else asked)
            self._check_failure(status)
            time.sleep(_PAUSE)
        raise UserError(self._problem(f"did not answer in {self._seconds:.0f} seconds"))

    def _status(self) -> Mapping[str, Any]:
        found = self._services.find(self._name)
        if found is None:
            raise UserError(self._problem("was deleted"))
        return found.get("status") or {}

    def _address(self, status: Mapping[str, Any]) -> str:
        """Gives the address in the cluster; notes the one outside it."""
        inside = (status.get("address") or {}).get("url") or status.get("url") or ""
        self.url = str(status.get("url") or inside).rstrip("/")
        # Of older versions of KServe: with the path of a protocol that our server does not speak.
        return str(inside).partition("/v1/models/")[0].rstrip("/")

    def _note(self, text: str) -> None:
        if text != self._said:
            _logger.info("%s %s.", self._name, text)
            self._said = text

    def _check_failure(self, status: Mapping[str, Any]) -> None:
        """Gives a model up that fails to load again and again."""
        if (status.get("modelStatus") or {}).get("transitionStatus") not in _FAILED:
            self._failing_since = None
            return
        now = time.monotonic()
        self._failing_since = self._failing_since or now
        if now - self._failing_since >= _PATIENCE:
            raise UserError(self._problem("fails to load its model"))

    def _problem(self, what: str) -> Problem:
        place = f"{self._services.namespace}/{self._name}"
        last = f" It {self._said}." if self._said else ""
        return Problem(
            f"the InferenceService {place} {what}.{last}",
            "KServe",
            fix=f"Look at it: kubectl describe inferenceservice {self._name} "
            f"--namespace {self._services.namespace}.",
        )


def _is_ready(status: Mapping[str, Any]) -> bool:
    return any(
        condition.get("type") == "Ready" and condition.get("status") == "True"
        for condition in status.get("conditions") or []
    )


def _conditions(status: Mapping[str, Any]) -> str:
    """Writes what a service says of itself, in one line."""
    parts = [
        f"{condition.get('type')} {condition.get('reason', '')} {condition.get('message', '')}"
        for condition in status.get("conditions") or []
        if condition.get("status") != "True"
    ]
    failure = (status.get("modelStatus") or {}).get("lastFailureInfo") or {}
    if failure:
        parts.append(f"{failure.get('reason', '')} {failure.get('message', '')}")
    text = "; ".join(" ".join(part.split()) for part in parts)
    return f"is not ready: {error_text(text)}" if text else "says nothing of itself yet"


def _health(url: str) -> int:
    """Asks for a server's health; 0 where nothing answers."""
    try:
        status: int = requests.get(url, timeout=_PAUSE).status_code
    except requests.RequestException:
        return 0
    return status
