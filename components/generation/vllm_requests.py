"""Says our requests in the words of vLLM, and what it writes in ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kfp_llm_tuning.components.generation.engine import (
    Generation,
    GenerationRequest,
    TokenLogprobs,
    Tokens,
)

# vLLM takes -1 for no seed, and bounds a seed by 64 bits.
_SEEDS = 2**63


def sampling_parameters(request: GenerationRequest, output_kind: str) -> Any:
    """Says how a prompt is continued.

    Args:
        request: What is asked.
        output_kind: "DELTA" for every token as it comes, "FINAL_ONLY" for all at the end.

    Returns:
        vLLM's SamplingParams.

    Raises:
        ValueError: If vLLM does not continue prompts like this.
    """
    sampling = request.sampling
    return _parameters(
        output_kind,
        max_tokens=request.max_new_tokens,
        stop_token_ids=list(request.stop_tokens),
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        seed=None if sampling.seed is None else sampling.seed % _SEEDS,
        presence_penalty=sampling.presence_penalty,
        frequency_penalty=sampling.frequency_penalty,
        logit_bias=dict(sampling.logit_bias) or None,
        logprobs=sampling.logprobs,
    )


def scoring_parameters() -> Any:
    """Says that a text is read for the log-probabilities of its tokens.

    Returns:
        vLLM's SamplingParams.
    """
    return _parameters("FINAL_ONLY", max_tokens=1, temperature=0.0, prompt_logprobs=0)


def generation(written: Any, request: GenerationRequest) -> Generation:
    """Reads what was written.

    Args:
        written: vLLM's CompletionOutput: all of an answer, or the next part.
        request: What was asked.

    Returns:
        The same, without the token that ended it.

    Raises:
        RuntimeError: If vLLM gave up.
    """
    if written.finish_reason not in (None, "stop", "length"):
        raise RuntimeError(f"vLLM ended the answer: {written.finish_reason}.")
    finished = written.finish_reason == "stop"
    tokens = list(written.token_ids[:-1] if finished else written.token_ids)
    count = request.sampling.logprobs
    if count is None:
        return Generation(tokens, finished)
    found = zip(tokens, written.logprobs or (), strict=False)
    return Generation(tokens, finished, tuple(_logprobs(*pair, count) for pair in found))


def log_likelihood(prompt_logprobs: Sequence[Mapping[int, Any]], completion: Tokens) -> float:
    """Sums the log-probabilities of a text's last tokens.

    Args:
        prompt_logprobs: Of each token of the text; vLLM's Logprob by token.
        completion: The last tokens.

    Returns:
        The sum.
    """
    positions = prompt_logprobs[-len(completion) :]
    return sum(
        float(position[token].logprob)
        for position, token in zip(positions, completion, strict=True)
    )


def _parameters(output_kind: str, **values: Any) -> Any:
    from vllm import SamplingParams
    from vllm.exceptions import VLLMValidationError
    from vllm.sampling_params import RequestOutputKind

    try:
        return SamplingParams(
            output_kind=RequestOutputKind[output_kind],
            # What ends an answer is ours to say, and text is made of tokens by our tokenizer.
            ignore_eos=True,
            detokenize=False,
            **values,
        )
    except VLLMValidationError as error:
        raise ValueError(str(error)) from error


def _logprobs(token: int, found: Mapping[int, Any], count: int) -> TokenLogprobs:
    """Reads one position's log-probabilities: the chosen token's and the likeliest ones'."""
    likeliest = sorted(found.items(), key=lambda item: -item[1].logprob)[:count]
    return TokenLogprobs(
        float(found[token].logprob),
        tuple((other, float(logprob.logprob)) for other, logprob in likeliest),
    )
