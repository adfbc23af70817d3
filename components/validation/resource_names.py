"""The forms of Google Cloud names that pipeline parameters may hold."""

from __future__ import annotations

import dataclasses
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
        identifier: Regular expression of an id that may stand alone; empty where none may.
    """

    template: str
    pattern: re.Pattern[str]
    identifier: str = ""

    def is_id(self, name: str) -> bool:
        """Tells whether the name is an id alone, which is meant in the run's project and region."""
        return bool(self.identifier) and re.fullmatch(self.identifier, name) is not None

    def location(self, name: str) -> str | None:
        """Reads the region out of a name; None where the name has another form."""
        match = self.pattern.fullmatch(name)
        return match["location"] if match else None


def _form(collection: str, identifier: str, *, template: str) -> ResourceForm:
    prefix = rf"projects/(?:{_PROJECT})/locations/(?P<location>{_LOCATION})"
    return ResourceForm(template, re.compile(rf"{prefix}/{collection}/{identifier}"))


_NUMBER = "[0-9]{1,20}"
TENSORBOARD = dataclasses.replace(
    _form(
        "tensorboards",
        _NUMBER,
        template="projects/PROJECT/locations/REGION/tensorboards/NUMBER, or NUMBER alone",
    ),
    identifier=_NUMBER,
)
MANAGED_DATASET = _form(
    "datasets", _NUMBER, template="projects/PROJECT/locations/REGION/datasets/NUMBER"
)
ENCRYPTION_KEY = _form(
    "keyRings",
    r"[\w-]{1,63}/cryptoKeys/[\w-]{1,63}",
    template="projects/PROJECT/locations/REGION/keyRings/RING/cryptoKeys/KEY",
)
ENDPOINT = _form(
    "endpoints",
    "[a-z0-9-]{1,63}",
    template="projects/PROJECT/locations/REGION/endpoints/ENDPOINT",
)
MODEL = _form(
    "models", "[A-Za-z0-9_-]{1,63}", template="projects/PROJECT/locations/REGION/models/MODEL"
)
NETWORK_ATTACHMENT = ResourceForm(
    "projects/PROJECT/regions/REGION/networkAttachments/NAME",
    re.compile(
        rf"projects/(?:{_PROJECT})/regions/(?P<location>{_LOCATION})"
        r"/networkAttachments/[a-z][a-z0-9-]{0,62}"
    ),
)


def is_model_id(name: str) -> bool:
    """Tells whether a text has the form of a model's id in the Model Registry."""
    return re.fullmatch(r"[0-9]{1,20}|[a-z_][a-z0-9_-]{0,62}", name) is not None


def is_version_alias(name: str) -> bool:
    """Tells whether a text has the form of an alias of a model's version."""
    return re.fullmatch(r"[a-z][a-zA-Z0-9-]{0,126}[a-z0-9]", name) is not None


def is_duration(text: str) -> bool:
    """Tells whether a text is a duration as Google's APIs write it: seconds and an ``s``."""
    return re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?s", text) is not None


def is_project(name: str) -> bool:
    """Tells whether a text has the form of a project's id or number."""
    return re.fullmatch(_PROJECT, name) is not None


def is_api_endpoint(endpoint: str) -> bool:
    """Tells whether a text is HOST, HOST/PATH or a whole URL of an API."""
    return _API_ENDPOINT.fullmatch(endpoint) is not None


def is_service_account(account: str) -> bool:
    """Tells whether a text has the form of a service account's address."""
    return re.fullmatch(r"[\w.-]+@[\w.-]+\.gserviceaccount\.com", account) is not None
