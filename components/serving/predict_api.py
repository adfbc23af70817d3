"""The predict route: the published contract of Vertex AI's language models."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from kfp_llm_tuning.components.serving import answering, openai_api
from kfp_llm_tuning.components.serving.answer import Answer, AnswerRequest
from kfp_llm_tuning.components.serving.json_body import read_apart, read_object
from kfp_llm_tuning.components.serving.predict_requests import (
    PredictRequest,
    read_predict_request,
)
from kfp_llm_tuning.components.serving.predict_responses import PredictionWriter, token_metadata
from kfp_llm_tuning.components.serving.prompting import Prompt, PromptInput, write_prompts
from kfp_llm_tuning.components.serving.streaming import Events, event_stream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kfp_llm_tuning.components.generation.tuned_model import TunedModel
    from kfp_llm_tuning.components.serving.service import Service


def router(service: Service) -> APIRouter:
    """Makes the route.

    Args:
        service: What answers.

    Returns:
        The router.
    """
    routes = APIRouter()

    async def predict(request: Request) -> Response:
        model = answering.loaded_model(service)
        body = await read_object(request)
        openai = await openai_api.answer_within_prediction(service, request, body)
        if openai is not None:
            return openai
        limit = service.admission.limit
        asked = await read_apart(request, read_predict_request, body, model, limit)
        prompts = await write_prompts(model, asked.instances)
        prediction = _Prediction(service, request, model, asked, prompts)
        if asked.stream:
            seconds = answering.reading_seconds(service)
            return await event_stream(request, prediction.events(), seconds)
        return JSONResponse(await prediction.answered())

    routes.add_api_route(service.settings.predict_route, predict, methods=["POST"])
    return routes


class _Prediction:
    """One request under way."""

    def __init__(
        self,
        service: Service,
        request: Request,
        model: TunedModel,
        asked: PredictRequest,
        prompts: Sequence[Prompt],
    ) -> None:
        self._service = service
        self._request = request
        self._asked = asked
        parameters = asked.parameters
        self._count = parameters.candidates
        self._answer_requests = [
            AnswerRequest(prompt, parameters.limit, parameters.sampling, parameters.stops)
            for prompt in prompts
        ]
        self._writer = PredictionWriter(model, parameters.sampling.logprobs is not None)

    async def answered(self) -> dict[str, Any]:
        """Waits for all answers, and writes the body of the response."""
        answers = await answering.answers(
            self._service, self._request, self._answer_requests, self._count
        )
        predictions = [
            prediction
            for instance, candidates in zip(self._asked.instances, answers, strict=True)
            for prediction in self._writer.predictions(
                instance,
                [self._echo(instance) + answer.text for answer in candidates],
                [answer.scored for answer in candidates],
            )
        ]
        metadata = self._metadata([answer for candidates in answers for answer in candidates])
        return {"predictions": predictions, "metadata": metadata}

    async def events(self) -> Events:
        """Gives each piece of the one answer as a body of its own, the last with its counts."""
        [instance] = self._asked.instances
        echo = self._echo(instance)
        written = answering.pieces(self._service, self._request, self._answer_requests, self._count)
        async with aclosing(written):
            async for piece in written:
                event: dict[str, Any] = {
                    "predictions": self._writer.predictions(
                        instance, [echo + piece.text], [piece.scored]
                    )
                }
                if piece.answer:
                    event["metadata"] = self._metadata([piece.answer])
                yield event
                echo = ""

    def _echo(self, prompt_input: PromptInput) -> str:
        return prompt_input.instance.messages[0].content if self._asked.parameters.echo else ""

    def _metadata(self, answers: Sequence[Answer]) -> dict[str, Any]:
        return token_metadata(
            self._asked.instances,
            sum(len(one.prompt.ids) for one in self._answer_requests),
            [answer.text for answer in answers],
            sum(answer.tokens for answer in answers),
        )
