"""One model in memory, run by vLLM, for machines with GPUs.

vLLM's asynchronous engine has an event loop in a thread of ours; the model runs in processes that
vLLM starts. Tokens go in and come out: the tokenizer stays with us, so that prompts and answers are
the same in every engine.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import itertools
import logging
import os
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from concurrent.futures import Future
from multiprocessing import resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from kfp_llm_tuning.components.generation.batches import Progress
from kfp_llm_tuning.components.generation.decoded_text import decode
from kfp_llm_tuning.components.generation.engine import (
    Generation,
    GenerationRequest,
    Listener,
    Ticket,
    Tokens,
)
from kfp_llm_tuning.components.generation.loop_thread import CLOSED, LoopThread
from kfp_llm_tuning.components.generation.request_limits import within_limits
from kfp_llm_tuning.components.generation.vllm_requests import (
    generation,
    log_likelihood,
    sampling_parameters,
    scoring_parameters,
)
from kfp_llm_tuning.components.models.causal_model import load_config
from kfp_llm_tuning.components.models.tokenizer import load_tokenizer

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Read when vLLM is imported. What is set already stays.
_ENVIRONMENT = {
    "VLLM_NO_USAGE_STATS": "1",  # by default it tells its makers what runs where
    "VLLM_CONFIGURE_LOGGING": "0",  # its lines go the way of ours
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",  # a fork would copy the locks of the server's threads
}
# Of many requests that are there from the start, how many vLLM has at once: more than a step takes.
_AT_ONCE = 1024
# What vLLM's processes get to end by themselves.
_CLOSE_SECONDS = 30.0

_log = logging.getLogger(__name__)
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class VllmEngine:
    """A causal language model of a local folder, run by vLLM on the GPUs of this machine.

    Attributes:
        tokenizer: The folder's tokenizer.
        device: "cuda", or "cpu" with a vLLM that was built for it.
        precision: "bfloat16" where the processor computes with it, else what vLLM chooses.
        context_length: Most tokens that prompt and answer may have together: as many as the model
            was made for, or fewer where memory does not hold what so many leave in the cache.
    """

    def __init__(self, folder: Path) -> None:
        """Loads model and tokenizer from a folder in Hugging Face layout; safetensors only."""
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        self.tokenizer = load_tokenizer(folder)
        self._names = map(str, itertools.count())
        self._thread = LoopThread("vllm")
        try:
            self._vllm: Any = self._thread.run(_open(folder))
        except BaseException:
            self._thread.close()
            raise
        config = self._vllm.vllm_config
        self.device = str(config.device_config.device_type)
        self.precision = str(config.model_config.dtype).removeprefix("torch.")
        self.context_length = int(config.model_config.max_model_len)
        self._vocabulary = int(config.model_config.get_vocab_size())
        _log.info(
            "vLLM runs the model on %d %s device(s); the cache holds %d tokens, one request %d.",
            config.parallel_config.tensor_parallel_size,
            self.device,
            config.cache_config.kv_cache_size_tokens,
            self.context_length,
        )
        # At the end of the interpreter vLLM could not tell its processes to end.
        atexit.register(self.close)

    @property
    def alive(self) -> bool:
        """Whether requests that are submitted will be answered."""
        return self._thread.alive and not self._vllm.errored

    def generate(self, requests: Sequence[GenerationRequest]) -> list[Generation]:
        """Continues every prompt.

        Args:
            requests: What is asked.

        Returns:
            One generation a request, in their order.

        Raises:
            ValueError: If a request cannot be answered by this model.
        """
        checked = [self._checked(request) for request in requests]
        return self._thread.run(_all(self._answer, checked, "prompts answered"))

    def submit(self, request: GenerationRequest, listener: Listener) -> Ticket:
        """Continues one prompt beside all others that were submitted. From any thread.

        Args:
            request: What is asked.
            listener: Hears of it, in the engine's thread.

        Returns:
            Ends the request before its time.

        Raises:
            ValueError: If the request cannot be answered by this model.
            RuntimeError: If the engine is closed or broken.
        """
        checked = self._checked(request)
        if self._vllm.errored:
            raise RuntimeError("vLLM has ended.")
        ticket = _Ticket(checked, listener)
        outputs = self._outputs(checked.prompt, sampling_parameters(checked, "DELTA"))
        ticket.work = self._thread.start(ticket.follow(outputs))
        return ticket

    def score(
        self, prompts: Sequence[Tokens], completions: Sequence[Tokens]
    ) -> NDArray[np.float64]:
        """Computes the log-likelihood of each completion given its prompt.

        Args:
            prompts: Token ids, at least one each.
            completions: Token ids, the end included; at least one each. Together with its prompt
                each must leave one token of the context, which vLLM insists on writing.

        Returns:
            Natural logarithms, summed over a completion's tokens; shape (prompts,).
        """
        pairs = list(zip(prompts, completions, strict=True))
        return np.array(self._thread.run(_all(self._score, pairs, "references scored")))

    def score_choices(
        self, prompts: Sequence[Tokens], choices: Sequence[Tokens]
    ) -> NDArray[np.float64]:
        """Computes the log-likelihood of every choice given every prompt.

        The prompt is read again for every choice: vLLM keeps no log-probabilities of prompts.

        Args:
            prompts: Token ids, at least one each; equal prompts are computed once.
            choices: Token ids, at least one each (the end is one), the same for all prompts.

        Returns:
            Natural logarithms, shape (prompts, choices).
        """
        distinct = list(dict.fromkeys(map(tuple, prompts)))
        pairs = list(itertools.product(distinct, choices))
        scores = self._thread.run(_all(self._score, pairs, "labels scored"))
        table = np.array(scores).reshape(len(distinct), len(choices))
        rows = {prompt: row for row, prompt in enumerate(distinct)}
        return table[[rows[tuple(prompt)] for prompt in prompts]]

    def decode(self, texts: Sequence[Tokens], kept: Collection[int] = frozenset()) -> list[str]:
        """Turns token ids into text, special tokens but those to be kept left out."""
        return decode(self.tokenizer, texts, kept)

    def close(self) -> None:
        """Ends the thread and vLLM's processes; requests under way hear of an error."""
        atexit.unregister(self.close)
        self._thread.close(lambda: self._vllm.shutdown(timeout=_CLOSE_SECONDS))

    def _checked(self, request: GenerationRequest) -> GenerationRequest:
        return within_limits(request, self.context_length, self._vocabulary)

    async def _answer(self, request: GenerationRequest) -> Generation:
        parameters = sampling_parameters(request, "FINAL_ONLY")
        return generation((await self._last(request.prompt, parameters)).outputs[0], request)

    async def _score(self, pair: tuple[Tokens, Tokens]) -> float:
        prompt, completion = pair
        text = await self._last([*prompt, *completion], scoring_parameters())
        return log_likelihood(text.prompt_logprobs, completion)

    async def _last(self, prompt: Tokens, parameters: Any) -> Any:
        return [output async for output in self._outputs(prompt, parameters)][-1]

    def _outputs(self, prompt: Tokens, parameters: Any) -> AsyncGenerator[Any, None]:
        from vllm.inputs import tokens_input

        outputs: AsyncGenerator[Any, None] = self._vllm.generate(
            tokens_input(list(prompt)), parameters, next(self._names)
        )
        return outputs


class _Ticket:
    """One answer under way: tells its listener of it until it ends or is cancelled."""

    def __init__(self, request: GenerationRequest, listener: Listener) -> None:
        self.work: Future[None] | None = None
        self._request = request
        self._listener = listener
        self._cancelled = False

    def cancel(self) -> None:
        self._cancelled = True
        if self.work is not None:
            self.work.cancel()

    async def follow(self, outputs: AsyncGenerator[Any, None]) -> None:
        finished = False
        try:
            async with contextlib.aclosing(outputs):
                async for output in outputs:
                    piece = generation(output.outputs[0], self._request)
                    finished = piece.finished
                    self._tell(piece)
        except asyncio.CancelledError:
            self._fail(RuntimeError(CLOSED))
            raise
        except Exception as error:
            self._fail(error)
        else:
            if not self._cancelled:
                self._listener.on_end(finished)

    def _tell(self, piece: Generation) -> None:
        for token, logprobs in itertools.zip_longest(piece.tokens, piece.logprobs):
            if not self._cancelled:
                self._listener.on_token(token, logprobs)

    def _fail(self, error: Exception) -> None:
        if not self._cancelled:
            self._listener.on_error(error)


async def _open(folder: Path) -> Any:
    """Starts vLLM; a coroutine, because vLLM's engine starts within a running loop."""
    import torch
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.platforms import current_platform
    from vllm.v1.engine.async_llm import AsyncLLM

    # Ctrl-C in a terminal reaches every process. Those of vLLM, which inherit this, leave it to the
    # server, and go on until it has answered. (The tracker's start would let the signal in again.)
    resource_tracker.ensure_running()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    arguments = AsyncEngineArgs(
        model=str(folder),
        dtype=_dtype(),
        # As long as the model was made for, or as memory allows.
        max_model_len=-1,
        tensor_parallel_size=_shards(folder, torch.cuda.device_count()),
        load_format="safetensors",
        trust_remote_code=False,
        # The folder's own settings (sampling, repetition penalty) would be merged into ours.
        generation_config="vllm",
        skip_tokenizer_init=True,
        # Pictures and sounds are not tuned, and their parts take memory.
        language_model_only=True,
        enable_prefix_caching=True,
        logprobs_mode="raw_logprobs",
        # Without a GPU compiling takes longer than it saves, and a compiler.
        enforce_eager=not current_platform.is_cuda_alike(),
        disable_log_stats=True,
    )
    return AsyncLLM.from_engine_args(arguments)


def _dtype() -> str:
    import torch
    from vllm.platforms import current_platform

    return "bfloat16" if torch.bfloat16 in current_platform.supported_dtypes else "auto"


def _shards(folder: Path, processors: int) -> int:
    """Says how many GPUs share the model: as many as its attention heads can be dealt out to."""
    heads = int(load_config(folder).get_text_config().num_attention_heads)
    return max(count for count in range(1, max(processors, 1) + 1) if heads % count == 0)


async def _all(
    work: Callable[[_Item], Awaitable[_Result]], items: Sequence[_Item], what: str
) -> list[_Result]:
    """Works on every item, many at once, and logs how far it is; the first error ends all."""
    progress = Progress(len(items), what)
    free = asyncio.Semaphore(_AT_ONCE)

    async def one(item: _Item) -> _Result:
        async with free:
            result = await work(item)
        progress.add(1)
        return result

    tasks = [asyncio.ensure_future(one(item)) for item in items]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
