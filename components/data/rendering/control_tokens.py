"""Control tokens that users spell in their texts: text like any other, not what steers the model.

Rendered texts say which is which: transformers' private-use marks stand around a control token that
a user wrote (`mark_control_tokens`), and `encode_marked` turns it into the tokens of its letters.
`without_marks` takes the marks away.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from kfp_llm_tuning.components.common.errors import Problem, UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# No text that can be written in UTF-8 holds one. High ones would join with these.
_FIRST_SIGN, _LAST_SIGN = 0xDC00, 0xDFFF
_SIGNS = re.compile(f"[{chr(_FIRST_SIGN)}-{chr(_LAST_SIGN)}]")

# Schemas of functions have about ten levels. A template's indentation grows with each.
_MAXIMUM_DEPTH = 64


class ControlTokens:
    """The control tokens of one tokenizer and its chat template.

    They are the special tokens, and those added tokens that the template writes or looks for: the
    tokens that transformers' ``apply_chat_template(sanitize_control_tokens=True)`` takes for them.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, template_text: str = "") -> None:
        """Lists them.

        Args:
            tokenizer: The model's tokenizer.
            template_text: All texts that stand in its chat template; empty without one.
        """
        named = tokenizer.chat_control_tokens
        spellings = {
            token.content
            for token in tokenizer.added_tokens_decoder.values()
            if token.special
            or (token.content in (template_text if named is None else named))
            and not token.content.isspace()
        }
        # The longest first: a token takes precedence over those that it contains.
        longest_first = sorted(spellings, key=lambda spelling: (-len(spelling), spelling))
        self.pattern = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")

    def spelled_in(self, text: str) -> list[str]:
        """Lists the control tokens that a text spells, each once, in their order."""
        return list(dict.fromkeys(self.pattern.findall(text)))

    def mark(self, text: str) -> str:
        """Marks the control tokens that a user's text spells."""
        from transformers.utils.chat_template_utils import mark_control_tokens

        marked: str = mark_control_tokens(text, self.pattern)
        return marked


class ControlTokenMask:
    """Hides the control tokens of a conversation's texts from the template that renders it.

    Each becomes one character that no text holds: a template that looks for its own tokens in what
    people say does not find them, and one that cuts texts does not cut a token in two.
    """

    def __init__(self, tokens: ControlTokens) -> None:
        """Starts with nothing hidden."""
        self._tokens = tokens
        self._signs: dict[str, str] = {}

    def hide(self, text: str) -> str:
        """Puts a sign in the place of every control token."""
        start, end = _marks()
        return self._tokens.pattern.sub(self._sign, text.replace(start, "").replace(end, ""))

    def hide_within(self, value: Any, depth: int = 0) -> Any:
        """Hides the control tokens of all texts within a JSON value, names of fields included.

        Args:
            value: Arguments of a call, or the definition of a tool.
            depth: Lists and objects around it.

        Returns:
            A copy.

        Raises:
            UserError: If lists and objects stand deeper in each other than templates can write.
        """
        if isinstance(value, str):
            return self.hide(value)
        if not isinstance(value, dict | list):
            return value
        if depth == _MAXIMUM_DEPTH:
            what = f"lists and objects stand more than {_MAXIMUM_DEPTH} deep in each other."
            raise UserError(Problem(what, fix="Write it with fewer levels."))
        if isinstance(value, list):
            return [self.hide_within(item, depth + 1) for item in value]
        return {self.hide(name): self.hide_within(item, depth + 1) for name, item in value.items()}

    def reveal(self, rendered: str) -> str:
        """Puts the marked control tokens in the places of their signs."""
        if not self._signs:
            return rendered
        start, end = _marks()
        spellings = {sign: start + token + end for token, sign in self._signs.items()}
        return _SIGNS.sub(lambda found: spellings.get(found[0], found[0]), rendered)

    def _sign(self, found: re.Match[str]) -> str:
        token = found[0]
        if token not in self._signs:
            code = _FIRST_SIGN + len(self._signs)
            if code > _LAST_SIGN:
                # So many different ones nobody writes but to try: text still, though not hidden.
                return self._tokens.mark(token)
            self._signs[token] = chr(code)
        return self._signs[token]


def has_marks(rendered: str) -> bool:
    """Tells whether a rendered text holds control tokens that are text."""
    return _marks()[0] in rendered


def without_marks(rendered: str) -> str:
    """Takes the marks off a rendered text."""
    start, end = _marks()
    return rendered.replace(start, "").replace(end, "") if start in rendered else rendered


def encode_marked(tokenizer: Any, rendered: str) -> list[int]:
    """Turns a rendered text with marks into tokens, as transformers' ``encode_marked_chat`` does.

    That function's parameters differ among the versions of transformers that are allowed.

    Args:
        tokenizer: The model's tokenizer.
        rendered: A text in which `ControlTokens` or `ControlTokenMask` left marks.

    Returns:
        Token ids.

    Raises:
        UserError: If the tokenizer has no other tokens for a control token's letters.
    """
    encode = partial(tokenizer.encode, add_special_tokens=False)
    as_text = tokenizer._encode_without_added_tokens
    # Between two marks stands a control token: every other piece.
    first, *pieces = re.split("[{}{}]".format(*_marks()), rendered)
    ids: list[int] = encode(first)
    for position, piece in enumerate(pieces):
        is_control_token = position % 2 == 0
        encoded = _encode_within(as_text if is_control_token else encode, piece)
        if is_control_token and tokenizer.convert_tokens_to_ids(piece) in encoded:
            what = f'the model\'s tokenizer cannot read "{piece}" as text.'
            raise UserError(Problem(what, fix="Take it out of the data."))
        ids += encoded
    return ids


def _encode_within(encode: Callable[[str], list[int]], piece: str) -> list[int]:
    """Encodes a piece as it stands within a text: some tokenizers put a space before a text."""
    newline = encode("\n")
    ids = encode("\n" + piece)
    return ids[len(newline) :] if ids[: len(newline)] == newline else encode(piece)


@cache
def _marks() -> tuple[str, str]:
    from transformers.utils.chat_template_utils import mark_control_tokens

    start, end = mark_control_tokens("a", re.compile("a")).split("a")
    return start, end
