"""What a model can be asked at all."""

from __future__ import annotations

from dataclasses import replace

from kfp_llm_tuning.components.generation.engine import GenerationRequest


def within_limits(
    request: GenerationRequest, context_length: int, vocabulary: int
) -> GenerationRequest:
    """Refuses what would fail beside others' requests, and ends answers with the context.

    Args:
        request: What is asked.
        context_length: Most tokens that prompt and answer may have together.
        vocabulary: Number of token ids.

    Returns:
        The request, its ``max_new_tokens`` lowered to what the context leaves.

    Raises:
        ValueError: If the model cannot answer it.
    """
    left = context_length - len(request.prompt)
    if not request.prompt or left < 1 or request.max_new_tokens < 1:
        raise ValueError(
            f"A prompt of {len(request.prompt)} tokens and {request.max_new_tokens} new ones: "
            f"at least one of each is needed, within {context_length} tokens."
        )
    named = {*request.prompt, *request.sampling.logit_bias}
    if min(named) < 0 or max(named) >= vocabulary:
        raise ValueError(f"Token ids must be at least 0 and below {vocabulary}.")
    return replace(request, max_new_tokens=min(request.max_new_tokens, left))
