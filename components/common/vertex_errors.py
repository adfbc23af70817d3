"""What Vertex AI's refusals mean to a user, and what to do about each."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Iterator
from contextlib import contextmanager

from google.api_core import exceptions
from google.auth import exceptions as auth_exceptions
from requests import exceptions as http_exceptions

from kfp_llm_tuning.components.common.errors import Problem, UserError

_AGAIN = "Run it again: what was done is found again, and nothing is done twice."
_FIRST_TUNING = (
    "In a project that has never used Vertex AI its service agent may not be there yet: create any "
    "Vertex AI dataset (console: Vertex AI, Datasets, Create), wait five minutes, and run it again."
)
_ENABLE_API = "Enable it: gcloud services enable aiplatform.googleapis.com, and wait some minutes."
_GRANT_USER = (
    "Enable the Compute Engine API, and grant roles/aiplatform.user and roles/storage.objectAdmin "
    "to the account that the pipeline runs as: its service account, by default "
    "PROJECT_NUMBER-compute@developer.gserviceaccount.com."
)
_GRANT = (
    "Grant the account a role with this permission (roles/aiplatform.user has those of Vertex AI)."
)
_RESTRICTED_REGISTRY = (
    "This permission is on its way to Vertex AI's service agent: wait five minutes, run it again."
)
_REGISTRY = (
    "Grant roles/artifactregistry.reader on the repository to the service agent; if it has that "
    "role, the grant is on its way: wait five minutes, and run it again."
)
_QUOTA = (
    "Ask for more quota (console: IAM & Admin, Quotas), free what another job holds, or choose "
    "another machine or region."
)
_CREDENTIALS = (
    "On your own machine run `gcloud auth application-default login`; in a pipeline check that its "
    "service account exists and is not disabled."
)
_CREDENTIALS_ERRORS = (
    auth_exceptions.DefaultCredentialsError,
    auth_exceptions.RefreshError,
    exceptions.Unauthorized,
)
# The network's own errors, which reach us as they are over REST.
_UNREACHABLE = (
    auth_exceptions.TransportError,
    http_exceptions.ChunkedEncodingError,
    http_exceptions.ConnectionError,
    http_exceptions.Timeout,
)


@contextmanager
def explained(doing: str, where: str = "") -> Iterator[None]:
    """Turns Vertex AI's refusals into errors that say what to do.

    Args:
        doing: What is done, for messages: "upload the model intents".
        where: The parameter that is at fault.

    Yields:
        Once.

    Raises:
        UserError: For every refusal, and for a service that does not answer.
    """
    try:
        yield
    except (
        exceptions.GoogleAPIError,
        auth_exceptions.GoogleAuthError,
        concurrent.futures.TimeoutError,
        *_UNREACHABLE,
    ) as error:
        raise UserError(problem_of(error, doing, where)) from error


def problem_of(error: Exception, doing: str, where: str = "") -> Problem:
    """Explains one error.

    Args:
        error: An error of google.api_core, google.auth or requests.
        doing: What was done.
        where: The parameter that is at fault.

    Returns:
        What is wrong and what to do.
    """
    cause = _cause(error)
    what = f"could not {doing}: {_text(cause)}"
    fix = _fix(cause) or (_AGAIN if cause is not error else "")
    return Problem(what, where or "Vertex AI", fix=fix)


def _cause(error: Exception) -> Exception:
    # Retries that gave up wrap the last error.
    cause = error.cause if isinstance(error, exceptions.RetryError) else None
    return cause if isinstance(cause, Exception) else error


def _text(error: Exception) -> str:
    if isinstance(error, concurrent.futures.TimeoutError):
        return "the operation still runs after hours."
    text = error.message if isinstance(error, exceptions.GoogleAPICallError) else str(error)
    return f"{text.rstrip('.')} ({type(error).__name__})."


def _fix(error: Exception) -> str:
    text = str(error)
    if isinstance(error, _CREDENTIALS_ERRORS):
        return _CREDENTIALS
    if isinstance(error, exceptions.Forbidden):
        return _permission_fix(text)
    if isinstance(error, exceptions.NotFound):
        return "Check the name, its project and its region."
    if isinstance(error, exceptions.TooManyRequests):
        return _QUOTA
    if isinstance(error, exceptions.InternalServerError):
        return f"{_AGAIN} {_FIRST_TUNING}"
    if isinstance(error, exceptions.ServerError | exceptions.Aborted | exceptions.RetryError):
        return _AGAIN
    if isinstance(error, (concurrent.futures.TimeoutError, *_UNREACHABLE)):
        return _AGAIN
    if "artifact registry" in text.lower():
        return _registry_fix(text)
    return ""


def _permission_fix(text: str) -> str:
    lower = text.lower()
    if "service_disabled" in lower or "has not been used in project" in lower:
        return _ENABLE_API
    if "metadatastores" in lower:
        return _GRANT_USER
    if "artifact registry" in lower or "artifactregistry" in lower:
        return _registry_fix(text)
    return _GRANT


def _registry_fix(text: str) -> str:
    return _RESTRICTED_REGISTRY if "vertex-ai-restricted" in text else _REGISTRY
