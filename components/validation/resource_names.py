"""The forms of Google Cloud names that pipeline parameters may hold."""

from __future__ import annotations

import re
from dataclasses import dataclass

_PROJECT = r"(?:[a-z][a-z0-9.-]*:)?[a-z][a-z0-9-]{4,28}[a-z0-9]|[0-9]{1,20}"
_API_ENDPOINT = re.compile(r"(https?://)?[A-Za-z0-9][\w.-]*(:[0-9]{1,5})?(/[\w./-]*)?")
_LOCATION = r"[a-z]+-[a-z]+[0-9]+|global|us|europe|asia"


@dataclass(frozen=True)
class ResourceForm:
    """A full resource name.

    Attributes:
        template: The form as shown to people.
        pattern: Its regular expression; the group ``location`` holds the region.
    """

    template: str
    pattern: re.Pattern[str]

    def location(self, name: str) -> str | None:
        """Reads the region out of a name; None where the name has another form."""
        match = self.pattern.fullmatch(name)
        return match["location"] if match else None


def _form(collection: str, identifier: str, *, template: str) -> ResourceForm:
    prefix = rf"projects/(?:{_PROJECT})/locations/(?P<location>{_LOCATION})"
    return ResourceForm(template, re.compile(rf"{prefix}/{collection}/{identifier}"))


TENSORBOARD = _form(
    "tensorboards",
    "[0-9]{1,20}",
    template="projects/PROJECT/locations/REGION/tensorboards/NUMBER",
)
MANAGED_DATASET = _form(
    "datasets", "[0-9]{1,20}", template="projects/PROJECT/locations/REGION/datasets/NUMBER"
)
ENCRYPTION_KEY = _form(
    "keyRings",
    r"[\w-]{1,63}/cryptoKeys/[\w-]{1,63}",
    template="projects/PROJECT/locations/REGION/keyRings/RING/cryptoKeys/KEY",
)


def is_project(name: str) -> bool:
    """Tells whether a text has the form of a project's id or number."""
    return re.fullmatch(_PROJECT, name) is not None


def is_api_endpoint(endpoint: str) -> bool:
    """Tells whether a text is HOST, HOST/PATH or a whole URL of an API."""
    return _API_ENDPOINT.fullmatch(endpoint) is not None


def is_service_account(account: str) -> bool:
    """Tells whether a text has the form of a service account's address."""
    return re.fullmatch(r"[\w.-]+@[\w.-]+\.gserviceaccount\.com", account) is not None
