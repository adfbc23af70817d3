"""An answer's end: one token, and nothing of what a template writes around it."""

from __future__ import annotations

from typing import Any

import pytest
from tokenizers import AddedToken

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.data.rendering.formatters import prompt_formatter
from kfp_llm_tuning.components.data.rendering.tokenization import Tokenization
from kfp_llm_tuning.components.models import byte_tiny
from tests.components.data.rendering.asking import text_example

TURN = "{{% for m in messages %}}[{{{{ m.role }}}}]\n{{{{ m.content }}}}{end}{{% endfor %}}"
ASKS = "{% if add_generation_prompt %}[assistant]\n{% endif %}"


def tokenizer_ending(end: str, marker: str = "", special: bool = False) -> Any:
    """A byte-level tokenizer whose template writes this behind every message."""
    tokenizer = byte_tiny.build_tokenizer()
    tokenizer.split_special_tokens = False
    if marker:
        tokenizer.add_tokens([AddedToken(marker, special=special, normalized=False)])
    tokenizer.chat_template = TURN.format(end=end) + ASKS
    return tokenizer


def trained(tokenizer: Any) -> tuple[list[str], Tokenization]:
    """What is learned of the answer "no", token by token."""
    formatter = prompt_formatter(tokenizer)
    tokenization = Tokenization(tokenizer, formatter, 1000, 1000)
    (tokens,) = tokenization.completions([text_example(formatter, "a?", "no").answer])
    return tokenizer.convert_ids_to_tokens(tokens.ids), tokenization


@pytest.mark.parametrize("special", [True, False])
@pytest.mark.parametrize("behind", ["", "\n", "\n{{ eos_token }}"])
def test_a_marker_of_the_vocabulary_ends_the_answer(special: bool, behind: str) -> None:
    tokenizer = tokenizer_ending("<end>" + behind, "<end>", special)
    tokens, tokenization = trained(tokenizer)
    assert tokens == ["n", "o", "<end>"]
    ends = tokenizer.convert_tokens_to_ids(["<end>", "<eos>"])
    assert tokenization.stop_token_ids == sorted(ends)
    assert tokenization.stop_text == ""


@pytest.mark.parametrize("behind", ["", "\n"])
def test_a_marker_that_the_vocabulary_lacks_is_not_learned(behind: str) -> None:
    tokenizer = tokenizer_ending("<|im_end|>" + behind)
    tokens, tokenization = trained(tokenizer)
    assert tokens == ["n", "o", "<eos>"]
    assert tokenization.stop_token_ids == [tokenizer.eos_token_id]
    # An untuned model may write it still.
    assert tokenization.before_stop_text("no<|im_end|>\nmore") == ("no", True)
    assert tokenization.before_stop_text("no") == ("no", False)


def test_a_marker_that_is_text_before_the_end_token_is_not_learned() -> None:
    tokens, _ = trained(tokenizer_ending("<|im_end|>\n{{ eos_token }}"))
    assert tokens == ["n", "o", "<eos>"]


def test_white_space_is_no_marker() -> None:
    tokens, tokenization = trained(tokenizer_ending("\n\n", "\n\n"))
    assert tokens == ["n", "o", "<eos>"]
    assert tokenization.before_stop_text("no\n\nor yes") == ("no\n\nor yes", False)


def test_no_end_at_all_is_refused() -> None:
    tokenizer = tokenizer_ending("\n")
    tokenizer.eos_token = None
    with pytest.raises(UserError, match="no end-of-sequence token"):
        trained(tokenizer)
