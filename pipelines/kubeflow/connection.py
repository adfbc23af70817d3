"""The Kubeflow Pipelines that a command talks to, and how it is called.

A request that makes something is not simply sent again: its answer may be lost after the thing was
made. So whoever makes something says how it is found, and before every try it is looked for.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import kfp
import urllib3
from google.api_core import retry

from kfp_llm_tuning.components.common.errors import Problem, UserError, raise_all
from kfp_llm_tuning.pipelines.kubeflow.api_errors import (
    ApiException,
    explained,
    is_transient,
    is_unreached,
)

_T = TypeVar("_T")

# Seconds: to reach the server, for it to answer, and for all tries of one request.
_CONNECT_TIMEOUT, _READ_TIMEOUT = 5.0, 60.0
_RETRY_TIMEOUT = 300.0
_GREETING_TIMEOUT = 15.0
_TIMEOUTS = {"_request_timeout": (_CONNECT_TIMEOUT, _READ_TIMEOUT)}
# Where kubelet puts a token for Kubeflow Pipelines, in a pod that asks for one.
_TOKEN_FILE_VARIABLE = "KF_PIPELINES_SA_TOKEN_PATH"
_NOWHERE = "http://localhost"
_CONFLICT = 409

_retry = retry.Retry(
    predicate=is_transient, initial=1.0, maximum=20.0, multiplier=2.0, timeout=_RETRY_TIMEOUT
)
_NO_HOST = Problem(
    "no Kubeflow Pipelines is named, and there is neither a cluster around nor a kubeconfig that "
    "has the context.",
    "--host, --kube-context",
    "the URL of the user interface or of the API server",
    "Give --host, or set KF_PIPELINES_ENDPOINT.",
)
# Who is not there at all is told at once.
_greeting = retry.Retry(
    predicate=lambda error: is_transient(error) and not is_unreached(error),
    initial=0.5,
    timeout=_GREETING_TIMEOUT,
)


@dataclass(frozen=True)
class Connection:
    """Where Kubeflow Pipelines is, and who asks.

    Attributes:
        host: URL of the API server or of what stands before it; empty for the cluster of this pod
            or of the kubeconfig.
        namespace: The user's, where each has one; empty elsewhere.
        token: Bearer token; empty for none, or for the one that a pod is given.
        ca_file: Certificates that the server's is checked against; None for the usual ones.
        kube_context: Context of the kubeconfig; empty for the current one.
    """

    host: str = ""
    namespace: str = ""
    token: str = ""
    ca_file: Path | None = None
    kube_context: str = ""

    def problems(self) -> list[Problem]:
        """Checks what can be checked without asking anybody.

        Returns:
            All that is wrong.
        """
        problems = []
        url = urlsplit(self.host)
        if self.host and (url.scheme not in ("http", "https") or not url.netloc):
            allowed = "http://HOST or https://HOST, such as https://kubeflow.example.com/pipeline"
            problems.append(Problem(f"{self.host!r} is no URL.", "--host", allowed))
        if self.ca_file and not self.ca_file.is_file():
            problems.append(Problem(f"there is no file {self.ca_file}.", "--ca-file"))
        if not self.token.isprintable() or " " in self.token:
            # Never shown: it may be a token with a line break at its end.
            problems.append(Problem("it holds blanks or line breaks.", "--token", "a bearer token"))
        if self.host and self.kube_context:
            what = "a host and a context of the kubeconfig exclude one another."
            problems.append(Problem(what, "--host, --kube-context", fix="Give one of them."))
        return problems

    @property
    def options_text(self) -> str:
        """What a command is told to come here again, with a blank in front."""
        options_text = " --platform kubeflow"
        for option, value in (
            ("--host", self.host),
            ("--kube-context", self.kube_context),
            ("--namespace", self.namespace),
        ):
            options_text += f" {option} {value}" if value else ""
        return options_text

    def open(self) -> KubeflowApi:
        """Opens the connection.

        Returns:
            The API, after the server has answered once.

        Raises:
            UserError: If something is wrong with it, or the server does not answer.
        """
        raise_all(self.problems())
        return KubeflowApi(self)


class KubeflowApi:
    """An open connection."""

    def __init__(self, connection: Connection) -> None:
        """Connects.

        Args:
            connection: Where, and who asks.

        Raises:
            UserError: If the server does not answer, or is no Kubeflow Pipelines.
        """
        self._connection = connection
        with explained("reach Kubeflow Pipelines", "--host"):
            self.client = _client(connection)
            self._health = self.client.get_kfp_healthz()
        if self._health.multi_user is None:
            raise UserError(_no_api(self.client.server))
        if self._health.multi_user and not self.namespace:
            what = "every user has a namespace here, and none is given."
            raise UserError(Problem(what, "--namespace", fix="Give --namespace."))

    @property
    def namespace(self) -> str:
        """The user's namespace; empty where there is one user."""
        return self._connection.namespace or str(self.client.get_user_namespace() or "")

    @property
    def namespaced(self) -> dict[str, str]:
        """The namespace as the keyword of a call; none where there is one user."""
        return {"namespace": self.namespace} if self._health.multi_user else {}

    @cached_property
    def ui(self) -> str:
        """URL of the user interface: --host, unless the environment says; empty without both."""
        prefix = str(self.client._get_url_prefix())
        return prefix.rstrip("/") if prefix.startswith("http") else ""

    def read(self, method: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Calls a method that changes nothing; tried again while another try may help.

        Args:
            method: Of kfp-server-api.
            arguments: Its arguments.
            options: Its keywords.

        Returns:
            What it answers.
        """
        return _retry(lambda: method(*arguments, **options, **_TIMEOUTS))()

    def once(self, method: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Calls a method once: inside `ensure`, which does the trying.

        Args:
            method: Of kfp-server-api.
            arguments: Its arguments.
            options: Its keywords.

        Returns:
            What it answers.
        """
        return method(*arguments, **options, **_TIMEOUTS)


def ensure(find: Callable[[], _T | None], make: Callable[[], _T]) -> _T:
    """Makes a thing unless it is there.

    Args:
        find: Looks for it, calling `KubeflowApi.once`; None where it is not there.
        make: Makes it, calling `KubeflowApi.once`.

    Returns:
        What was found or made.
    """

    def found_or_made() -> _T:
        there = find()
        if there is not None:
            return there
        try:
            return make()
        except ApiException as error:
            # Another delivery of the same request was quicker.
            there = find() if error.status == _CONFLICT else None
            if there is None:
                raise
            return there

    made: _T = _retry(found_or_made)()
    return made


class _Client(kfp.Client):
    """The client that kfp ships, which never waits for ever and writes no file."""

    _answer: Any = None

    @property
    def server(self) -> str:
        """URL of the server."""
        return str(self._existing_config.host)

    def _load_config(self, *arguments: Any) -> Any:
        config = super()._load_config(*arguments)
        # urllib3's own tries would make one minute four.
        config.retries = urllib3.Retry(connect=1, read=0, redirect=5, status=0, other=0)
        if hook := config.refresh_api_key_hook:
            config.refresh_api_key_hook = _keeping_host(hook, config.host)
        return config

    def get_kfp_healthz(self, sleep_duration: int = 5) -> Any:
        """Asks quietly; kfp's own method prints a traceback for each of five tries."""
        if self.server == _NOWHERE:
            raise UserError(_NO_HOST)
        if self._answer is None:
            ask = self._healthz_api.healthz_service_get_healthz
            self._answer = _greeting(lambda: ask(**_TIMEOUTS))()
        return self._answer

    def set_user_namespace(self, namespace: str) -> None:
        """Keeps the namespace that a pod was told; kfp's own method writes it to a file."""
        self._context_setting["namespace"] = namespace.strip()


def _keeping_host(refresh: Callable[[Any], None], host: str) -> Callable[[Any], None]:
    """Refreshes a token only: that of a kubeconfig also leads back from Kubeflow to its cluster."""

    def refresh_token(config: Any) -> None:
        refresh(config)
        config.host = host

    return refresh_token


def _client(connection: Connection) -> _Client:
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        _quiet(logging.getLogger()),
    ):
        # It tells of versions before 2.0, and prints what the errors here say.
        warnings.simplefilter("ignore", FutureWarning)
        client = _Client(
            host=connection.host or None,
            existing_token=connection.token or None,
            credentials=None if connection.token else _pod_credentials(),
            ssl_ca_cert=str(connection.ca_file) if connection.ca_file else None,
            kube_context=connection.kube_context or None,
        )
    return client


def _pod_credentials() -> Any:
    if not os.environ.get(_TOKEN_FILE_VARIABLE):
        return None
    from kfp.client import ServiceAccountTokenVolumeCredentials

    return ServiceAccountTokenVolumeCredentials()


@contextlib.contextmanager
def _quiet(logger: logging.Logger) -> Any:
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def _no_api(server: str) -> Problem:
    return Problem(
        f"{server} answers, but not as Kubeflow Pipelines does: it may be a page to log in.",
        "--host",
        "the URL of its user interface, often with /pipeline at the end",
        "Check --host, and give --token.",
    )
