"""The routes under /v1, which most clients of open models speak."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from kfp_llm_tuning.components.common.errors import Problem
from kfp_llm_tuning.components.serving import answering
from kfp_llm_tuning.components.serving.answer import AnswerRequest
from kfp_llm_tuning.components.serving.json_body import read_apart, read_object
from kfp_llm_tuning.components.serving.openai_requests import (
    CompletionRequest,
    read_chat,
    read_completion,
)
from kfp_llm_tuning.components.serving.openai_responses import (
    ChatWriter,
    CompletionWriter,
    TextWriter,
)
from kfp_llm_tuning.components.serving.prompting import Prompt, PromptInput, write_prompts
from kfp_llm_tuning.components.serving.refusals import Refusal, quoted, speak_openai
from kfp_llm_tuning.components.serving.request_fields import shown
from kfp_llm_tuning.components.serving.streaming import Events, event_stream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kfp_llm_tuning.components.generation.tuned_model import TunedModel
    from kfp_llm_tuning.components.serving.service import Service

_FORMAT_FIELD = "@requestFormat"
_CHAT_FORMAT = "chatCompletions"

_Read = Callable[[dict[str, Any], "TunedModel", int], CompletionRequest]


def router(service: Service) -> APIRouter:
    """Makes the routes.

    Args:
        service: What answers.

    Returns:
        The router.
    """
    routes = APIRouter(prefix="/v1")
    created = int(time.time())

    async def chat(request: Request) -> Response:
        return await answer(request, read_chat, ChatWriter)

    async def completions(request: Request) -> Response:
        return await answer(request, read_completion, TextWriter)

    async def answer(request: Request, read: _Read, writer: type[CompletionWriter]) -> Response:
        body = await read_object(request)
        _check_name(service, body.get("model"))
        completion = await _completion(service, request, body, read, writer)
        return await completion.response()

    async def models() -> Response:
        return JSONResponse({"object": "list", "data": [_described(service, created)]})

    async def model(name: str) -> Response:
        _check_name(service, name)
        return JSONResponse(_described(service, created))

    routes.add_api_route("/chat/completions", chat, methods=["POST"])
    routes.add_api_route("/completions", completions, methods=["POST"])
    routes.add_api_route("/models", models)
    routes.add_api_route("/models/{name:path}", model)
    return routes


async def answer_within_prediction(
    service: Service, request: Request, body: dict[str, Any]
) -> Response | None:
    """Answers what is meant for these routes in a body of the predict route.

    Vertex AI passes on nothing but predictions. Its raw ones may have any body; ordinary ones carry
    a request as their one instance, and its answer as their predictions, as the containers of Model
    Garden do. Which model is asked, the endpoint has decided: its name is not looked at.

    Args:
        service: What answers.
        request: Who asks.
        body: The JSON object.

    Returns:
        The response; None where the body is a prediction like others.

    Raises:
        Refusal: With every mistake found.
    """
    wrapped = _wrapped(body, service.admission.limit)
    if wrapped is None and body.get("instances") is not None:
        return None
    asked = body if wrapped is None else wrapped
    if asked.get("messages") is not None:
        speak_openai(request)
        completion = await _completion(service, request, asked, read_chat, ChatWriter)
    elif asked.get("prompt") is not None:
        speak_openai(request)
        completion = await _completion(service, request, asked, read_completion, TextWriter)
    else:
        return None
    return await completion.response(within_prediction=wrapped is not None)


def _wrapped(body: dict[str, Any], most: int) -> dict[str, Any] | None:
    """Finds the request that is the one instance of a prediction."""
    instances = body.get("instances")
    if not isinstance(instances, list) or len(instances) > most:
        return None
    if not any(isinstance(each, dict) and _FORMAT_FIELD in each for each in instances):
        return None
    where = f"instances[0].{_FORMAT_FIELD}"
    if len(instances) > 1:
        raise Refusal(400, Problem("only one instance can have it at a time.", where))
    if body.get("parameters"):
        raise Refusal(400, Problem("in this format they are fields of the instance.", "parameters"))
    asked = dict(instances[0])
    found = asked.pop(_FORMAT_FIELD)
    if found != _CHAT_FORMAT:
        raise Refusal(400, Problem(f"{shown(found)} is not known.", where, _CHAT_FORMAT))
    return {"messages": [], **asked}


async def _completion(
    service: Service,
    request: Request,
    body: dict[str, Any],
    read: _Read,
    writer: type[CompletionWriter],
) -> _Completion:
    model = answering.loaded_model(service)
    asked = await read_apart(request, read, body, model, service.admission.limit)
    prompts = await write_prompts(model, asked.asked)
    answer_requests = _answer_requests(model, asked, prompts)
    echoes = [_echo(model, one) if asked.echo else "" for one in asked.asked]
    return _Completion(
        service, request, asked, answer_requests, writer(model, service.name, asked, echoes)
    )


class _Completion:
    """One request under way."""

    def __init__(
        self,
        service: Service,
        request: Request,
        asked: CompletionRequest,
        answer_requests: Sequence[AnswerRequest],
        writer: CompletionWriter,
    ) -> None:
        self._service = service
        self._request = request
        self._asked = asked
        self._answer_requests = answer_requests
        self._writer = writer
        self._prompt_tokens = sum(len(one.prompt.ids) for one in answer_requests)

    async def response(self, within_prediction: bool = False) -> Response:
        """Answers at once, or in a stream."""
        if self._asked.stream:
            seconds = answering.reading_seconds(self._service)
            return await event_stream(self._request, self._events(), seconds)
        answers = await answering.answers(
            self._service, self._request, self._answer_requests, self._asked.count
        )
        whole = self._writer.whole(answers, self._prompt_tokens)
        return JSONResponse({"predictions": whole} if within_prediction else whole)

    async def _events(self) -> Events:
        begun: set[int] = set()
        output_tokens = 0
        written = answering.pieces(
            self._service, self._request, self._answer_requests, self._asked.count
        )
        async with aclosing(written):
            async for piece in written:
                for chunk in self._writer.chunks(piece, is_first=piece.index not in begun):
                    yield chunk
                begun.add(piece.index)
                output_tokens += piece.answer.tokens if piece.answer else 0
        if self._asked.with_usage:
            yield self._writer.counts(self._prompt_tokens, output_tokens)
        yield "[DONE]"


def _answer_requests(
    model: TunedModel, asked: CompletionRequest, prompts: Sequence[Prompt]
) -> list[AnswerRequest]:
    """Says what is written after each prompt, which leaves room for one token at least."""
    context = model.engine.context_length
    rooms = [context - len(prompt.ids) for prompt in prompts]
    problems = [
        Problem(
            f"{len(prompt.ids)} tokens of the prompt and {asked.limit} of the answer are more than "
            f"the model's context of {context} tokens.",
            one.where,
        )
        for one, prompt, room in zip(asked.asked, prompts, rooms, strict=True)
        if asked.limit is not None and asked.limit > room
    ]
    if problems:
        raise Refusal(400, *problems, code="context_length_exceeded")
    return [
        AnswerRequest(
            prompt, asked.limit or min(asked.usual_limit, room), asked.sampling, asked.stops
        )
        for prompt, room in zip(prompts, rooms, strict=True)
    ]


def _echo(model: TunedModel, asked: PromptInput) -> str:
    if asked.tokens:
        return model.engine.decode([asked.tokens])[0]
    return asked.instance.messages[0].content


def _check_name(service: Service, name: Any) -> None:
    if not isinstance(name, str):
        what = "is missing." if name is None else f"{shown(name)} is no text."
        raise Refusal(400, Problem(what, "model", service.name))
    if name != service.name:
        what = f"the model {quoted(name)} does not exist."
        raise Refusal(404, Problem(what, "model", service.name), code="model_not_found")


def _described(service: Service, created: int) -> dict[str, Any]:
    model = answering.loaded_model(service)
    return {
        "id": service.name,
        "object": "model",
        "created": created,
        "owned_by": "kfp-llm-tuning",
        # As vLLM tells it: clients cut their prompts by it.
        "max_model_len": min(
            model.max_input_tokens + model.max_output_tokens, model.engine.context_length
        ),
    }
