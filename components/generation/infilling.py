"""Fill-in-the-middle: code between a prefix and a suffix, for models that were trained for it.

Such a model has three tokens of its own. They are found in its vocabulary, and the prompt is
written as all of these families were trained: prefix, suffix, and then the middle to be written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_SPELLINGS = (
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),  # Qwen, CodeGemma
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),  # StarCoder, Granite
    ("<fim-prefix>", "<fim-suffix>", "<fim-middle>"),  # SantaCoder
    ("▁<PRE>", "▁<SUF>", "▁<MID>"),  # CodeLlama
    ("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),  # DeepSeek
)
# What models write where the middle, or the file, is at its end.
_ENDS = (
    "<|endoftext|>",
    "<|fim_pad|>",
    "<|file_sep|>",
    "<|file_separator|>",
    "<|repo_name|>",
    "<file_sep>",
    "<fim_pad>",
    "▁<EOT>",
    "<｜end▁of▁sentence｜>",
)


@dataclass(frozen=True)
class Infilling:
    """How a model is asked to fill a gap.

    Attributes:
        prefix_token: Stands before what comes before the gap.
        suffix_token: Stands before what comes after the gap.
        middle_token: Stands where the model is to write.
        stop_tokens: Tokens that end the middle, besides those that end any answer.
    """

    prefix_token: str
    suffix_token: str
    middle_token: str
    stop_tokens: tuple[int, ...]

    def prompt(self, prefix: str, suffix: str) -> str:
        """Writes the prompt.

        Args:
            prefix: Code before the gap.
            suffix: Code after the gap.

        Returns:
            Text in which the tokens are spelled out.
        """
        return f"{self.prefix_token}{prefix}{self.suffix_token}{suffix}{self.middle_token}"


def infilling_of(tokenizer: PreTrainedTokenizerBase) -> Infilling | None:
    """Finds out whether and how a model can be asked to fill a gap.

    Args:
        tokenizer: The model's.

    Returns:
        How it is asked; None where its vocabulary has no tokens for it.
    """
    vocabulary = tokenizer.get_vocab()
    for spelling in _SPELLINGS:
        if all(token in vocabulary for token in spelling):
            ends = [vocabulary[token] for token in (*spelling, *_ENDS) if token in vocabulary]
            return Infilling(*spelling, stop_tokens=tuple(sorted(ends)))
    return None
