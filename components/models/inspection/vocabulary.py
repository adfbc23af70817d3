"""Whether the model has room for every token that its tokenizer writes, and one to end with."""

from __future__ import annotations

from typing import Any

from kfp_llm_tuning.components.common.errors import Problem
from kfp_llm_tuning.components.common.wording import first_few
from kfp_llm_tuning.components.models.checkpoint_files import TOKENIZER_CONFIG
from kfp_llm_tuning.components.models.inspection.findings import Inspection


def check_vocabulary(tokenizer: Any, rows: int | None, place: str, found: Inspection) -> None:
    """Checks a tokenizer against the table of embeddings.

    A token beyond it is a fault where prompts or texts come to hold it. Some published models have
    such tokens for pictures only, which no text holds: those are told, and do no harm.

    Args:
        tokenizer: The checkpoint's.
        rows: Tokens that the model has room for; None where it is not known.
        place: Names the checkpoint in messages.
        found: Takes what is found.
    """
    if tokenizer.eos_token_id is None and not tokenizer.chat_template:
        found.problems.append(_no_end(place))
    if rows is None:
        return
    beyond = {token: text for text, token in tokenizer.get_vocab().items() if token >= rows}
    written = [token for token in sorted(beyond) if _is_written(tokenizer, token, beyond[token])]
    if written:
        found.problems.append(_too_large(tokenizer, written, rows, place))
    elif beyond:
        what = f"has no room for {_name(tokenizer, sorted(beyond))}: texts that hold them fail."
        found.warnings.append(Problem(what, place, fix="Keep them out of the data."))


def _is_written(tokenizer: Any, token: int, text: str) -> bool:
    """Tells whether prompts or ordinary texts come to hold a token."""
    used = (
        tokenizer.eos_token_id,
        tokenizer.bos_token_id,
        tokenizer.pad_token_id,
        tokenizer.unk_token_id,
    )
    added = tokenizer.added_tokens_decoder.get(token)
    return token in used or added is None or not added.special or text in _templates(tokenizer)


def _templates(tokenizer: Any) -> str:
    template = tokenizer.chat_template or ""
    return "".join(template.values()) if isinstance(template, dict) else str(template)


def _too_large(tokenizer: Any, tokens: list[int], rows: int, place: str) -> Problem:
    size = max(tokens) + 1
    return Problem(
        f"has a tokenizer that is larger than the model: there are {rows:,} embeddings, and "
        f"no room for {_name(tokenizer, tokens)}.",
        place,
        f"token ids below {rows:,}",
        f"Resize it once: model.resize_token_embeddings({size}) and save it; or use the tokenizer "
        "that belongs to the model.",
    )


def _name(tokenizer: Any, tokens: list[int]) -> str:
    names = tokenizer.convert_ids_to_tokens(tokens)
    shown = first_few([f"{name} ({token})" for token, name in zip(tokens, names, strict=True)])
    return f"{len(tokens)} of its tokens: {shown}"


def _no_end(place: str) -> Problem:
    return Problem(
        "names no end-of-sequence token, and has no chat template that writes one: answers would "
        "never end.",
        place,
        fix=f"Set eos_token in its {TOKENIZER_CONFIG}, or choose another model.",
    )
