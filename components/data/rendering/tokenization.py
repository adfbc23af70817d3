"""Tokens of prompts and completions: batched, cut to their limits, the same in every stage.

Prompt and completion are tokenised apart, so that a model that generates from the prompt sees
exactly the tokens it was trained on. A completion is tokenised behind the words that every prompt
ends with (`PromptFormatter.anchor`), which are then taken off again: tokenizers that treat the
start of a text in a way of their own would otherwise write it as if it began a text.

A completion is an answer and its end. The end is one token: the first control token that the
template writes behind an answer, or else the end-of-sequence token. Calls of tools may have another
end than other answers. What a template writes around
that token (a newline, an end-of-turn marker that its vocabulary lacks) is nothing to be learned.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from itertools import repeat
from typing import TYPE_CHECKING, NamedTuple

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.data.rendering.prompt_encoder import PromptEncoder
from kfp_llm_tuning.components.data.rendering.prompts import PromptFormatter
from kfp_llm_tuning.components.data.rendering.text_encoder import TextEncoder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Tokens(NamedTuple):
    """The tokens of one text.

    Attributes:
        ids: Token ids.
        truncated: Whether a part of the text is missing.
    """

    ids: list[int]
    truncated: bool


class Tokenization:
    """Turns prompts and answers into tokens.

    Limits: a prompt has at most `max_input_tokens`, with everything the format puts around it. An
    answer has at most `max_output_tokens`, and its end comes on top; one that is cut has no end, so
    that the model does not learn to stop there.

    An over-long text prompt keeps its beginning and the words that every prompt ends with. An
    over-long conversation keeps its context and the most recent messages; the tokens between are
    left out.

    Attributes:
        end_id: The token after a whole answer that calls no tool.
        stop_token_ids: Tokens that end an answer, ascending: `end_id`, the others that the template
            writes behind an answer or a call, and the end-of-sequence token.
        inner_token_ids: Control tokens within answers: they belong to an answer's text.
        stop_text: The template's end-of-turn marker where that is no token but mere text: untuned
            models end their answers with it; else empty.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        formatter: PromptFormatter,
        max_input_tokens: int,
        max_output_tokens: int,
    ) -> None:
        """Finds the opening, the anchor and the end.

        Args:
            tokenizer: The model's tokenizer.
            formatter: What wrote the prompts.
            max_input_tokens: Limit of a prompt.
            max_output_tokens: Limit of a completion.

        Raises:
            UserError: If neither tokenizer nor template has a token that ends an answer.
        """
        self._tokenizer = tokenizer
        self._texts = TextEncoder(tokenizer)
        self._max_input_tokens = max_input_tokens
        self._max_output_tokens = max_output_tokens
        plain = formatter.prompt_format == "plain"
        self._opening = _opening_ids(tokenizer) if plain else []
        self._anchor = formatter.anchor
        self._anchor_ids = self._texts.encode([formatter.anchor])[0] if formatter.anchor else []
        self._prompt_encoder = PromptEncoder(self._texts, formatter.anchor)
        answer_markers = self._markers(formatter.end)
        self.stop_text = "" if answer_markers else formatter.end.strip()
        # Behind what the format writes, or in its place.
        last = [tokenizer.eos_token_id] if tokenizer.eos_token_id is not None else []
        stops = {
            end: [*self._markers(end), *last] for end in ("", formatter.end, formatter.call_end)
        }
        if not stops[formatter.end]:
            raise _no_end_token()
        self.end_id: int = stops[formatter.end][0]
        self._end_ids = {end: (ids or [self.end_id])[0] for end, ids in stops.items()}
        self._end_ids[""] = self.end_id
        self.inner_token_ids = frozenset(
            tokenizer.convert_tokens_to_ids(list(formatter.inner_tokens))
        )
        self.stop_token_ids = sorted({token for ids in stops.values() for token in ids})

    def prompts(self, texts: Sequence[str], heads: Sequence[int | None]) -> list[Tokens]:
        """Tokenises prompts.

        Args:
            texts: Rendered prompts.
            heads: For each, the characters to keep at its start when its oldest part is cut (a
                conversation's `PromptFormatter.head_length`), or None for text.

        Returns:
            The tokens of each, at most `max_input_tokens`.
        """
        encoded = [self._opening + ids for ids in self._prompt_encoder.encode(texts)]
        return [
            Tokens(ids, truncated=False)
            if len(ids) <= self._max_input_tokens
            else Tokens(self._cut_prompt(ids, text, head), truncated=True)
            for ids, text, head in zip(encoded, texts, heads, strict=True)
        ]

    def completions(self, texts: Sequence[str], ends: Sequence[str] = ()) -> list[Tokens]:
        """Tokenises answers, and appends their end.

        Args:
            texts: Answers as the formatter wrote them.
            ends: For each, the formatter's ``Example.end``; none where all have the usual end.

        Returns:
            The tokens of each: at most `max_output_tokens` and the end.
        """
        limit = self._max_output_tokens
        return [
            Tokens([*ids, self._end_ids[end]], truncated=False)
            if len(ids) <= limit
            else Tokens(ids[:limit], truncated=True)
            for ids, end in zip(self._after_anchor(texts), ends or repeat(""), strict=False)
        ]

    def before_stop_text(self, text: str) -> tuple[str, bool]:
        """Takes off what a model wrote from the `stop_text` on.

        Args:
            text: What it wrote.

        Returns:
            The answer, and whether the marker ended it.
        """
        if not self.stop_text:
            return text, False
        answer, marker, _ = text.partition(self.stop_text)
        return answer, bool(marker)

    def _markers(self, end: str) -> list[int]:
        """Lists the control tokens of what the format writes behind an answer."""
        written = self._after_anchor([end])[0] if end else []
        return [token for token in written if _is_marker(self._tokenizer, token)]

    def _cut_prompt(self, ids: list[int], text: str, head: int | None) -> list[int]:
        limit = self._max_input_tokens
        if head is None:
            kept, recent = ids, len(self._anchor_ids)
        else:
            kept = self._opening + self._texts.encode([text[:head]])[0]
            # A context as long as the limit may take half of it: the rest is for the messages.
            recent = max(limit - len(kept), limit // 2)
        recent = min(recent, limit)
        return kept[: limit - recent] + ids[len(ids) - recent :]

    def _after_anchor(self, texts: Sequence[str]) -> list[list[int]]:
        length = len(self._anchor_ids)
        encoded = self._texts.encode([self._anchor + text for text in texts])
        # A text may join with the anchor's last token (two newlines are one token, for instance).
        # The prompt does not have that token, so such a text is tokenised alone.
        joined = [row for row, ids in enumerate(encoded) if ids[:length] != self._anchor_ids]
        alone = dict(zip(joined, self._texts.encode([texts[row] for row in joined]), strict=True))
        return [alone.get(row, ids[length:]) for row, ids in enumerate(encoded)]


def tokenizer_hash(tokenizer: PreTrainedTokenizerBase) -> str:
    """Hashes all that decides which tokens a text gets.

    Args:
        tokenizer: Any tokenizer.

    Returns:
        SHA-256 over vocabulary, rules, chat template and special tokens.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    rules = json.loads(backend.to_str()) if backend is not None else tokenizer.get_vocab()
    if backend is not None:
        # Left behind by earlier calls; they do not belong to the rules.
        rules |= {"truncation": None, "padding": None}
    facts = {
        "rules": rules,
        "chat_template": tokenizer.chat_template,
        "special_tokens": {
            name: str(token) for name, token in tokenizer.special_tokens_map.items()
        },
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _opening_ids(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Finds the tokens that the tokenizer puts before a text, such as <bos>; not those after it."""
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    full = tokenizer("a")["input_ids"]
    starts = range(len(full) - len(bare) + 1)
    start = next((at for at in starts if full[at : at + len(bare)] == bare), 0)
    opening: list[int] = full[:start]
    return opening


def _is_marker(tokenizer: PreTrainedTokenizerBase, token: int) -> bool:
    """Tells control tokens, special or not, from words and from added tokens of white space."""
    added = tokenizer.added_tokens_decoder.get(token)
    special = token in tokenizer.all_special_ids
    return special or (added is not None and not added.content.isspace())


def _no_end_token() -> UserError:
    return UserError(
        Problem(
            "the model's tokenizer names no end-of-sequence token: answers would never end.",
            where="large_model_reference",
            fix="Set eos_token in its tokenizer_config.json, or choose another model.",
        )
    )
