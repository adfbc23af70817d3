"""The rows of a dataset, as validation defines them."""

from __future__ import annotations

from kfp_llm_tuning.components.validation.rows import ChatRow, Message, TextRow

__all__ = ["ChatRow", "Message", "TextRow"]
