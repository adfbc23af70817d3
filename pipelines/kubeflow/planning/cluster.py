"""Asks a Kubernetes cluster what is there; changes nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import urllib3
from kubernetes import client, config

from kfp_llm_tuning.components.common.errors import Problem, UserError

# Seconds: to reach the cluster, and for it to answer.
_TIMEOUTS = (5.0, 30.0)
_NOT_FOUND = 404
_POD_VARIABLE, _FILES_VARIABLE = "KUBERNETES_SERVICE_HOST", "KUBECONFIG"


class Cluster:
    """A cluster, asked with the credentials of this machine or pod."""

    def __init__(self, context: str, namespace: str) -> None:
        """Connects.

        Args:
            context: Of the kubeconfig; empty for the current one.
            namespace: Whose things are looked at.

        Raises:
            UserError: If there is no kubeconfig, or if the cluster does not answer.
        """
        self.namespace = namespace
        self._api = _api_client(context)
        self._api.configuration.retries = False
        self.core = client.CoreV1Api(self._api)
        self.storage = client.StorageV1Api(self._api)
        self.custom = client.CustomObjectsApi(self._api)
        self.name = str(self._api.configuration.host)
        self.ask(client.VersionApi(self._api).get_code, "reach the cluster")

    def ask(self, read: Callable[..., Any], doing: str, *arguments: Any, **options: Any) -> Any:
        """Reads something.

        Args:
            read: A method of Kubernetes' client.
            doing: What is read, for messages: "list the nodes".
            arguments: Its arguments.
            options: Its keywords.

        Returns:
            The answer.

        Raises:
            UserError: If it is refused.
        """
        try:
            return read(*arguments, **options, _request_timeout=_TIMEOUTS)
        except client.ApiException as error:
            text = f"could not {doing} of {self.name}: {error.reason} ({error.status})."
            raise UserError(Problem(text, "Kubernetes")) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            reason: Any = getattr(error, "reason", None) or error
            raise UserError(Problem(f"could not {doing}: {reason}.", "Kubernetes")) from error

    def find(self, read: Callable[..., Any], doing: str, *arguments: Any) -> Any | None:
        """Reads something that may not be there.

        Args:
            read: A method of Kubernetes' client.
            doing: What is read, for messages.
            arguments: Its arguments.

        Returns:
            The answer; None where there is no such thing.

        Raises:
            UserError: If it is refused for another reason.
        """
        try:
            return self.ask(read, doing, *arguments)
        except UserError as error:
            if getattr(error.__cause__, "status", None) == _NOT_FOUND:
                return None
            raise


def _api_client(context: str) -> Any:
    try:
        if os.environ.get(_POD_VARIABLE) and not context:
            configuration = client.Configuration()
            config.load_incluster_config(client_configuration=configuration)
            return client.ApiClient(configuration)
        # The client's own default is what the variable was when it was imported.
        files = os.environ.get(_FILES_VARIABLE) or None
        return config.new_client_from_config(config_file=files, context=context or None)
    except (config.ConfigException, OSError, TypeError) as error:
        raise UserError(
            Problem(
                f"there is no kubeconfig: {str(error).rstrip('.')}.",
                fix=f"Set {_FILES_VARIABLE}, or give --kube-context.",
            )
        ) from error
