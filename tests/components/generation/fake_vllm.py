"""As much of vLLM as the engine calls, without a model: after token n comes token n + 1."""

from __future__ import annotations

import asyncio
import enum
import signal
import sys
from collections.abc import AsyncIterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

VOCABULARY = 100
CONTEXT = 32


class RequestOutputKind(enum.Enum):
    CUMULATIVE = 0
    DELTA = 1
    FINAL_ONLY = 2


class VLLMValidationError(Exception):
    pass


class AsyncLLM:
    """Writes a token whenever the loop comes round; after token 90 it waits for ever, or fails."""

    opened: AsyncLLM

    def __init__(self, arguments: SimpleNamespace) -> None:
        self.arguments = arguments
        self.errored = False
        self.fails = False
        self.aborted: list[str] = []
        self.asked: list[SimpleNamespace] = []
        self.shut = 0
        self.blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
        self.vllm_config = SimpleNamespace(
            device_config=SimpleNamespace(device_type="cuda"),
            model_config=SimpleNamespace(
                dtype="torch.bfloat16", max_model_len=CONTEXT, get_vocab_size=lambda: VOCABULARY
            ),
            parallel_config=SimpleNamespace(tensor_parallel_size=arguments.tensor_parallel_size),
            cache_config=SimpleNamespace(kv_cache_size_tokens=1000),
        )
        AsyncLLM.opened = self

    @classmethod
    def from_engine_args(cls, arguments: SimpleNamespace) -> AsyncLLM:
        asyncio.get_running_loop()
        return cls(arguments)

    def shutdown(self, timeout: float | None = None) -> None:
        self.shut += 1

    async def generate(self, prompt: Any, parameters: Any, name: str) -> AsyncIterator[Any]:
        self.asked.append(parameters)
        ids = prompt["prompt_token_ids"]
        prompt_logprobs = [None, *({token: _logprob(token)} for token in ids[1:])]
        written: list[int] = []
        reason = None
        try:
            while reason is None:
                if (written or ids)[-1] == 90:
                    await self._stall()
                await asyncio.sleep(0)
                written.append((written or ids)[-1] + 1)
                if written[-1] in (getattr(parameters, "stop_token_ids", None) or ()):
                    reason = "stop"
                elif len(written) == parameters.max_tokens:
                    reason = "length"
                if parameters.output_kind is RequestOutputKind.DELTA:
                    yield _output(written[-1:], reason, parameters, prompt_logprobs)
        except (asyncio.CancelledError, GeneratorExit):
            self.aborted.append(name)
            raise
        if parameters.output_kind is RequestOutputKind.FINAL_ONLY:
            yield _output(written, reason, parameters, prompt_logprobs)

    async def _stall(self) -> None:
        if self.fails:
            raise RuntimeError("out of memory")
        await asyncio.Event().wait()


def install(monkeypatch: pytest.MonkeyPatch, **platform: Any) -> None:
    """Makes this the vLLM that is imported."""
    import torch

    facts = {"supported_dtypes": [torch.bfloat16], "is_cuda_alike": lambda: True, **platform}
    modules: dict[str, dict[str, Any]] = {
        "vllm": {"SamplingParams": _sampling_params},
        "vllm.exceptions": {"VLLMValidationError": VLLMValidationError},
        "vllm.sampling_params": {"RequestOutputKind": RequestOutputKind},
        "vllm.inputs": {"tokens_input": lambda ids: {"type": "token", "prompt_token_ids": ids}},
        "vllm.engine": {},
        "vllm.engine.arg_utils": {"AsyncEngineArgs": SimpleNamespace},
        "vllm.platforms": {"current_platform": SimpleNamespace(**facts)},
        "vllm.v1": {},
        "vllm.v1.engine": {},
        "vllm.v1.engine.async_llm": {"AsyncLLM": AsyncLLM},
    }
    for name, content in modules.items():
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)


def _sampling_params(**values: Any) -> SimpleNamespace:
    if values["temperature"] > 2:
        raise VLLMValidationError("temperature must be in [0, 2]")
    return SimpleNamespace(**values)


def _logprob(token: int) -> SimpleNamespace:
    return SimpleNamespace(logprob=-token / 10)


def _output(
    tokens: list[int], reason: str | None, parameters: Any, prompt_logprobs: list[Any]
) -> SimpleNamespace:
    count = getattr(parameters, "logprobs", None)
    logprobs = None
    if count is not None:
        # The chosen token stands first; here it is never among the likeliest.
        logprobs = [
            {token: _logprob(token), **{other: _logprob(other) for other in range(count)}}
            for token in tokens
        ]
    completion = SimpleNamespace(token_ids=tokens, logprobs=logprobs, finish_reason=reason)
    return SimpleNamespace(outputs=[completion], prompt_logprobs=prompt_logprobs)
