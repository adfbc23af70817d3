"""Asks a deployed model once: a deployment is done when its model answers.

On an endpoint that several models share nobody can choose who answers, and a refusal does not tell
whose it is. So it is asked until our model has answered, for as long as its share of the requests
makes that all but certain.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass

from google.api_core import exceptions, retry
from google.auth import exceptions as auth_exceptions
from google.cloud.aiplatform_v1 import PredictionServiceClient
from google.cloud.aiplatform_v1.types import Endpoint, PredictResponse
from google.protobuf.json_format import ParseError  # type: ignore[import-untyped]

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.vertex import READ, TRANSIENT, Vertex
from kfp_llm_tuning.components.common.vertex_errors import problem_of
from kfp_llm_tuning.components.upload.prediction_answers import error_text, prediction_text
from kfp_llm_tuning.components.upload.prediction_instances import PARAMETERS, instance_for

# A model that fails answers 500, and will again; the others say that it is not there yet.
_NOT_THERE_YET = tuple(kind for kind in TRANSIENT if kind is not exceptions.InternalServerError)
_ASK = {**READ, "retry": READ["retry"].with_predicate(retry.if_exception_type(*_NOT_THERE_YET))}
# No fault of the model: the account may not ask it.
_NOT_ALLOWED = (exceptions.Forbidden, exceptions.Unauthorized, auth_exceptions.GoogleAuthError)
# Seconds. The pause between two requests is at most this, half of it on average.
_PAUSE = 1.0
_LEAST_PATIENCE = 60.0
_CHANCE_OF_MISSING_IT = 1e-4

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class DeployedVersion:
    """The deployed version that is asked for a prediction.

    Attributes:
        model: Resource name of the version, for messages.
        deployment: Id of the deployment.
        kind: "text", "chat", "code", "codechat" or "any": what it was tuned for.
    """

    model: str
    deployment: str
    kind: str = "any"


def request_prediction(vertex: Vertex, endpoint: Endpoint, deployed: DeployedVersion) -> None:
    """Asks a deployed model, and logs how long it took to answer.

    A model that gets no requests, or that this account cannot reach or may not ask, is warned of in
    the log.

    Args:
        vertex: Where.
        endpoint: The endpoint as it is now.
        deployed: The model.

    Raises:
        UserError: If the model refuses, fails, does not answer for minutes, or answers with
            something else than one prediction.
    """
    reason = _why_not(endpoint, deployed)
    if reason:
        _logger.warning("%s was not asked whether it answers: %s", deployed.model, reason)
        return
    begun = time.monotonic()
    try:
        answer = _PredictionRequest(vertex, endpoint, deployed).answer()
    except UserError as error:
        if isinstance(error.__cause__, _NOT_ALLOWED):
            _logger.warning("%s was not asked whether it answers. %s", deployed.model, error)
            return
        raise
    seconds = time.monotonic() - begun
    predictions = PredictResponse.to_dict(answer)["predictions"]
    if prediction_text(predictions) is None:
        what = f"its answer is no prediction with a text: {error_text(str(predictions))}"
        raise UserError(_problem(endpoint, deployed, what))
    _logger.info("%s answered a prediction in %.2f seconds.", deployed.model, seconds)


def _why_not(endpoint: Endpoint, deployed: DeployedVersion) -> str:
    if not endpoint.traffic_split.get(deployed.deployment):
        return "its share of the endpoint's requests is 0."
    if endpoint.network or endpoint.private_service_connect_config.enable_private_service_connect:
        return "its endpoint answers in a private network only."
    return ""


class _AnotherModel(Exception):
    """Another model of the endpoint answered, or may have refused."""


class _PredictionRequest:
    """One prediction request, repeated until the right model answers."""

    def __init__(self, vertex: Vertex, endpoint: Endpoint, deployed: DeployedVersion) -> None:
        self._client = _client(vertex, endpoint)
        self._endpoint = endpoint
        self._deployed = deployed
        self._share = endpoint.traffic_split[deployed.deployment]
        self._refusal: Exception | None = None

    def answer(self) -> PredictResponse:
        """Asks until the model answers; a UserError where it does not."""
        polling = retry.Retry(
            predicate=retry.if_exception_type(_AnotherModel),
            initial=_PAUSE,
            maximum=_PAUSE,
            timeout=_patience(self._share),
        )
        try:
            return polling(self._answer_once)()
        except (exceptions.GoogleAPIError, auth_exceptions.GoogleAuthError) as error:
            raise UserError(self._explained(error)) from error
        except ParseError as error:
            what = f"its answer is no JSON: {error_text(str(error))}"
            raise UserError(_problem(self._endpoint, self._deployed, what)) from error

    def _answer_once(self) -> PredictResponse:
        try:
            answer = self._client.predict(
                endpoint=self._endpoint.name,
                instances=[instance_for(self._deployed.kind)],
                parameters=PARAMETERS,
                **_ASK,
            )
        except exceptions.GoogleAPICallError as error:
            if self._share == 100 or isinstance(error, _NOT_ALLOWED):
                raise
            self._refusal = error
            raise _AnotherModel from error
        if answer.deployed_model_id != self._deployed.deployment:
            raise _AnotherModel
        return answer

    def _explained(self, error: Exception) -> Problem:
        if not isinstance(error, exceptions.RetryError):
            return _problem(self._endpoint, self._deployed, _words(error), _fix(error))
        if not isinstance(error.cause, _AnotherModel):
            what = f"no answer came for minutes: {_words(error.cause or error)}"
            return _problem(self._endpoint, self._deployed, what)
        what = f"no request reached it, although it has {self._share} % of them."
        if self._refusal is not None:
            what += f" The last refusal, perhaps another model's: {_words(self._refusal)}"
        return _problem(self._endpoint, self._deployed, what)


def _client(vertex: Vertex, endpoint: Endpoint) -> PredictionServiceClient:
    if endpoint.dedicated_endpoint_dns:
        # Such an endpoint is not reached by the region's address; Google's SDK uses REST there.
        options = {"api_endpoint": endpoint.dedicated_endpoint_dns}
        return PredictionServiceClient(client_options=options, transport="rest")
    return vertex.client(PredictionServiceClient)


def _patience(share: int) -> float:
    """Seconds after which a model with that share has answered, but for bad luck."""
    if share >= 100:
        return _LEAST_PATIENCE
    requests = math.log(_CHANCE_OF_MISSING_IT) / math.log(1 - share / 100)
    return max(_LEAST_PATIENCE, requests * _PAUSE)


def _words(error: Exception) -> str:
    text = error.message if isinstance(error, exceptions.GoogleAPICallError) else str(error)
    return f"{error_text(text).rstrip('.')} ({type(error).__name__})."


def _fix(error: Exception) -> str:
    return problem_of(error, "").fix if isinstance(error, _NOT_ALLOWED) else ""


def _problem(endpoint: Endpoint, deployed: DeployedVersion, what: str, fix: str = "") -> Problem:
    identifier = endpoint.name.rpartition("/")[2]
    project = endpoint.name.split("/")[1]
    log = (
        "Look at the server's log: gcloud logging read "
        f'\'resource.type="aiplatform.googleapis.com/Endpoint" '
        f'resource.labels.endpoint_id="{identifier}"\' --project={project} --limit=100.'
    )
    return Problem(
        f"could not get a prediction from {deployed.model}, deployed to {endpoint.name}: {what}",
        "Vertex AI",
        fix=f"{fix} {log}".strip(),
    )
