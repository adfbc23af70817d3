"""Asks container registries whether they have an image, as who pulls it does; pulls nothing.

The protocol is the OCI Distribution Specification's, section "Pulling manifests"; tokens are got as
in Docker's "Token Authentication Specification".
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import requests
from requests.utils import parse_dict_header

from kfp_llm_tuning.components.common.documents import parse_json
from kfp_llm_tuning.components.common.errors import UserError

if TYPE_CHECKING:
    from requests import Response

Login = tuple[str, str]

# Seconds: to reach the registry, and for it to answer.
_TIMEOUTS = (5.0, 15.0)
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND = 401, 403, 404
_MANIFESTS = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
# What a name without a registry is short for.
_DOCKER_HUB, _DOCKER_HUB_API = "docker.io", "registry-1.docker.io"
_DOCKER_HUB_LOGIN = "https://index.docker.io/v1/"
_REFERENCE = re.compile(
    r"((?P<host>[^/]*[.:][^/]*|localhost)/)?"
    r"(?P<name>[a-z0-9._/-]+?)(:(?P<tag>[\w.-]+))?(@(?P<digest>sha256:[0-9a-f]{64}))?"
)


class UnknownImage(Exception):
    """Whether there is an image could not be found out; says why."""


@dataclass
class ImageRegistries:
    """The registries that images come from; one that does not answer is asked once.

    Attributes:
        logins: User and password by the registry's host.
    """

    logins: Mapping[str, Login] = field(default_factory=dict)
    _silent: dict[str, str] = field(default_factory=dict)

    def has(self, image: str) -> bool:
        """Asks for an image.

        Args:
            image: Its full name, with a tag or a digest.

        Returns:
            Whether its registry has it.

        Raises:
            UnknownImage: If the registry does not answer, or does not tell this user.
        """
        match = _REFERENCE.fullmatch(image)
        if not match:
            raise UnknownImage(f"{image} is no name of an image.")
        host, name = match["host"] or _DOCKER_HUB, match["name"]
        if host == _DOCKER_HUB and "/" not in name:
            name = f"library/{name}"
        if host in self._silent:
            raise UnknownImage(self._silent[host])
        reference = match["digest"] or match["tag"] or "latest"
        try:
            response = self._ask(host, f"{name}/manifests/{reference}")
        except requests.RequestException as error:
            reason = type(error).__name__
            self._silent[host] = f"{host} does not answer from here ({reason})."
            raise UnknownImage(self._silent[host]) from error
        if response.status_code in (_UNAUTHORIZED, _FORBIDDEN):
            raise UnknownImage(f"{host} wants credentials that were not found here.")
        if response.status_code != _NOT_FOUND and not response.ok:
            raise UnknownImage(f"{host} answered {response.status_code} {response.reason}.")
        return bool(response.ok)

    def _ask(self, host: str, path: str) -> Response:
        address = _DOCKER_HUB_API if host == _DOCKER_HUB else host
        # As container engines have it: a registry on this machine needs no certificate.
        is_local = re.fullmatch(r"(localhost|127\.0\.0\.1)(:\d+)?", host)
        url = f"{'http' if is_local else 'https'}://{address}/v2/{path}"
        headers = {"Accept": _MANIFESTS}
        login = self.logins.get(host)
        response = requests.head(url, headers=headers, timeout=_TIMEOUTS, allow_redirects=True)
        scheme, _, challenge = response.headers.get("WWW-Authenticate", "").partition(" ")
        if response.status_code != _UNAUTHORIZED:
            return response
        if scheme.lower() == "bearer":
            headers["Authorization"] = f"Bearer {_token(parse_dict_header(challenge), login)}"
            return requests.head(url, headers=headers, timeout=_TIMEOUTS, allow_redirects=True)
        return requests.head(
            url, headers=headers, auth=login, timeout=_TIMEOUTS, allow_redirects=True
        )


def logins_in(docker_config: str) -> dict[str, Login]:
    """Reads the logins of a pull secret.

    Args:
        docker_config: The value of its key ``.dockerconfigjson``.

    Returns:
        User and password by the registry's host; what cannot be read is left out.
    """
    found: dict[str, Login] = {}
    with contextlib.suppress(UserError, AttributeError):
        for server, entry in parse_json(docker_config, "pull secret").get("auths", {}).items():
            with contextlib.suppress(binascii.Error, UnicodeDecodeError):
                pair = base64.b64decode(entry.get("auth", "")).decode().partition(":")
                user, password = entry.get("username", pair[0]), entry.get("password", pair[2])
                host = re.sub(r"^https?://|/.*$", "", server)
                found[_DOCKER_HUB if server == _DOCKER_HUB_LOGIN else host] = (user, password)
    return found


def _token(challenge: Mapping[str, str | None], login: Login | None) -> str:
    """Gets the token that a registry asks for; empty where none is given."""
    asked = {name: value for name, value in challenge.items() if name in ("service", "scope")}
    realm = challenge.get("realm") or ""
    response = requests.get(realm, params=asked, auth=login, timeout=_TIMEOUTS)
    answer = response.json() if response.ok else {}
    if not isinstance(answer, dict):
        return ""
    return str(answer.get("token") or answer.get("access_token") or "")
