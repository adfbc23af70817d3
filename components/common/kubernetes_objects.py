"""Calls Kubernetes' API for objects of a kind that an add-on brings; refusals are explained."""

from __future__ import annotations

import json
import logging
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from kfp_llm_tuning.components.common.errors import Problem, UserError

_WHERE = "Kubernetes"
_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_TRANSIENT = (429, 500, 502, 503, 504)
_NOT_FOUND, _CONFLICT = 404, 409
# Seconds before the second and every later try of a call, and for one try.
_PAUSES = (1.0, 2.0, 4.0, 8.0)
_CALL: dict[str, Any] = {"_request_timeout": 30}

_logger = logging.getLogger(__name__)

_T = TypeVar("_T")


@dataclass(frozen=True)
class Kind:
    """A kind of objects.

    Attributes:
        group: Of its API.
        version: Of its API.
        plural: What the API calls a list of them.
        product: What brings them to a cluster, as people call it.
    """

    group: str
    version: str
    plural: str
    product: str


class KubernetesObjects:
    """The objects of a kind in one namespace.

    Attributes:
        namespace: Its name.
    """

    def __init__(self, kind: Kind, namespace: str = "") -> None:
        """Connects: with the pod's account, else with the kubeconfig of this machine.

        Args:
            kind: What they are.
            namespace: Empty for the pod's own, or the kubeconfig's.

        Raises:
            UserError: If neither is there.
        """
        settings = client.Configuration()
        own = _configure(settings)
        self.namespace = namespace or own or "default"
        settings.retries = False  # Ours are fewer, and say so.
        self._kind = kind
        self._objects = client.CustomObjectsApi(client.ApiClient(settings))

    def find(self, name: str) -> dict[str, Any] | None:
        """Reads an object; None where there is none.

        Args:
            name: Its name.

        Raises:
            UserError: If the API refuses, or cannot be reached.
        """
        return self._explained(name, lambda: self._find(name))

    def create(self, body: dict[str, Any]) -> dict[str, Any]:
        """Makes an object, or finds the one of that name.

        Args:
            body: The object.

        Returns:
            The object that is there then.

        Raises:
            UserError: If the API refuses, or cannot be reached.
        """
        name = body["metadata"]["name"]
        return self._explained(name, lambda: self._find(name) or self._create(body))

    def apply(self, body: dict[str, Any]) -> dict[str, Any]:
        """Makes an object, or makes the one of that name into it.

        What else the object holds, such as what somebody added to it, stays.

        Args:
            body: The object.

        Returns:
            The object as it is then.

        Raises:
            UserError: If the API refuses, or cannot be reached.
        """
        name = body["metadata"]["name"]
        return self._explained(name, lambda: self._apply(name, body))

    def delete(self, name: str) -> None:
        """Deletes an object and what it made; one that is not there is deleted.

        Args:
            name: Its name.

        Raises:
            UserError: If the API refuses, or cannot be reached.
        """
        self._explained(name, lambda: self._delete(name))

    def _apply(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        """Reads before it writes, so that a repeated call finds what a lost answer had made."""
        existing = self._find(name)
        if existing is None:
            return self._create(body)
        written: dict[str, Any] = self._objects.replace_namespaced_custom_object(
            *self._place(), name, _merged(existing, body), **_CALL
        )
        return written

    def _create(self, body: dict[str, Any]) -> dict[str, Any]:
        written: dict[str, Any] = self._objects.create_namespaced_custom_object(
            *self._place(), body, **_CALL
        )
        return written

    def _delete(self, name: str) -> None:
        if self._find(name) is not None:
            self._objects.delete_namespaced_custom_object(
                *self._place(), name, propagation_policy="Foreground", **_CALL
            )

    def _find(self, name: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self._objects.get_namespaced_custom_object(
                *self._place(), name, **_CALL
            )
        except ApiException as error:
            # An API server that does not know the kind answers 404 too, but names no object.
            if error.status == _NOT_FOUND and _status(error).get("details", {}).get("name"):
                return None
            raise
        return found

    def _place(self) -> tuple[str, str, str, str]:
        return self._kind.group, self._kind.version, self.namespace, self._kind.plural

    def _explained(self, name: str, call: Callable[[], _T]) -> _T:
        try:
            return _retried(call)
        except ApiException as error:
            raise UserError(_problem(error, self._kind, self.namespace, name)) from error
        except HTTPError as error:
            what = f"the API server cannot be reached: {error}"
            raise UserError(Problem(what, _WHERE)) from error


def _configure(settings: Any) -> str:
    """Finds the API server, and names the namespace that is worked in."""
    file = os.environ.get("KUBECONFIG")
    try:
        if not file and _NAMESPACE_FILE.is_file():
            config.load_incluster_config(client_configuration=settings)
            return _NAMESPACE_FILE.read_text(encoding="utf-8").strip()
        config.load_kube_config(file, client_configuration=settings)
        _, context = config.list_kube_config_contexts(file)
    except config.ConfigException as error:
        raise UserError(
            Problem(
                f"no cluster is known here: {error}",
                _WHERE,
                fix="Run this task in a cluster, or set KUBECONFIG.",
            )
        ) from error
    return str(context["context"].get("namespace", ""))


def _merged(existing: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    """Puts our specification, labels and annotations into an object that is there."""
    metadata = dict(existing["metadata"])
    for name in ("labels", "annotations"):
        metadata[name] = {**(metadata.get(name) or {}), **body["metadata"][name]}
    spec = {**existing.get("spec", {}), **body["spec"]}
    return {**existing, "metadata": metadata, "spec": spec}


def _retried(call: Callable[[], _T]) -> _T:
    """Calls again, after growing pauses, what failed for a reason that may pass."""
    for pause in _PAUSES:
        try:
            return call()
        except (ApiException, HTTPError) as error:
            # Somebody else wrote at the same time: what is there now is read anew.
            if isinstance(error, ApiException) and error.status not in (*_TRANSIENT, _CONFLICT):
                raise
            _logger.warning("%s. Trying again in %.0f s.", _words(error), pause)
            time.sleep(pause * random.uniform(0.5, 1.0))
    return call()


def _problem(error: ApiException, kind: Kind, namespace: str, name: str) -> Problem:
    what = f"{namespace}/{name}: {_words(error)}"
    if error.status in (401, 403):
        return Problem(
            what,
            _WHERE,
            fix="Let the pipeline's account get, create, update and delete "
            f"{kind.plural}.{kind.group} there.",
        )
    if error.status == _NOT_FOUND:
        return Problem(what, _WHERE, fix=f"Install {kind.product}, and check the namespace's name.")
    return Problem(what, _WHERE)


def _words(error: Exception) -> str:
    if isinstance(error, ApiException):
        message = _status(error).get("message") or error.reason
        return f"{str(message).rstrip('.')} (HTTP {error.status})"
    return f"{type(error).__name__}: {error}"


def _status(error: ApiException) -> dict[str, Any]:
    """Reads the Status object of a refusal; empty where the body is none."""
    try:
        status = json.loads(error.body or "{}")
    except (TypeError, ValueError):
        return {}
    return status if isinstance(status, dict) else {}
