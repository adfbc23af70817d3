from __future__ import annotations

import concurrent.futures

import pytest
import requests
from google.api_core import exceptions
from google.auth import exceptions as auth_exceptions

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.common.vertex_errors import explained, problem_of

ACCOUNT = "service-1234@gcp-sa-aiplatform.iam.gserviceaccount.com"


@pytest.mark.parametrize(
    ("error", "fix"),
    [
        # The three answers of the public troubleshooting page.
        (
            exceptions.InternalServerError("Internal error encountered"),
            "create any Vertex AI dataset",
        ),
        (
            exceptions.PermissionDenied(
                "Permission 'aiplatform.metadataStores.get' denied on resource "
                "'projects/1234/locations/europe-west4/metadataStores/default'"
            ),
            "roles/aiplatform.user",
        ),
        (
            exceptions.FailedPrecondition(
                f"Vertex AI Service Agent {ACCOUNT} does not have permission to access Artifact "
                "Registry repository projects/vertex-ai-restricted/locations/us/repositories/llm"
            ),
            "wait five minutes",
        ),
        (
            exceptions.PermissionDenied(f"{ACCOUNT} may not read Artifact Registry repository r"),
            "roles/artifactregistry.reader",
        ),
        (
            exceptions.Forbidden("Vertex AI API has not been used in project 1234 before"),
            "gcloud services enable",
        ),
        (exceptions.PermissionDenied("Permission 'x.y.z' denied"), "Grant the account a role"),
        (exceptions.ResourceExhausted("Quota exceeded"), "Ask for more quota"),
        (exceptions.Unauthenticated("token expired"), "gcloud auth application-default login"),
        (auth_exceptions.RefreshError("invalid_grant"), "gcloud auth application-default login"),
        (exceptions.NotFound("no such model"), "Check the name, its project and its region"),
        (exceptions.ServiceUnavailable("overloaded"), "Run it again"),
        (exceptions.DeadlineExceeded("too slow"), "Run it again"),
        (requests.exceptions.ConnectionError("reset"), "Run it again"),
        (concurrent.futures.TimeoutError(), "Run it again"),
        (
            exceptions.RetryError("gave up", cause=exceptions.TooManyRequests("Quota")),
            "Ask for more quota",
        ),
    ],
)
def test_each_refusal_says_what_to_do(error: Exception, fix: str) -> None:
    problem = problem_of(error, "do it")
    assert problem.what.startswith("could not do it: ")
    assert fix in problem.fix


def test_message_names_the_parameter_and_the_cause() -> None:
    with pytest.raises(UserError) as caught, explained("read the model m", "model_resource_name"):
        raise exceptions.NotFound("Model m is not found.")
    assert str(caught.value) == (
        "model_resource_name: could not read the model m: Model m is not found (NotFound). "
        "Check the name, its project and its region."
    )


def test_other_errors_keep_their_traceback() -> None:
    with pytest.raises(KeyError), explained("do it"):
        raise KeyError("ours")
