from __future__ import annotations

from typing import Any

import pytest

from kfp_llm_tuning.components.tuning.export import render_card

PROVENANCE: dict[str, Any] = {
    "display_name": "my model",
    "model_reference": "text-bison@002",
    "checkpoint": "hf://organisation/name",
    "revision": "abc",
    "substitute_for": "text-bison@002",
    "license": "llama3.2",
    "prompt_format": "chat_template",
    "max_input_tokens": 100,
    "max_output_tokens": 10,
    "parameters": {"tuning": "adapter", "batch_size": 8},
    "dataset": {"content_hash": "hash", "source_sha256": "digest", "source_bytes": 5},
    "versions": {"torch": "2"},
    "metrics": {"/eval_total_loss": 0.123456789},
    "steps": 100,
    "best_step": 60,
    "seconds": 12.3,
    "peak_memory_bytes": 2**30,
    "device": "CPU",
    "precision": "bf16",
}


def test_the_card_tells_what_was_tuned_and_how() -> None:
    card = render_card(PROVENANCE)
    assert card.startswith("---\nlicense: llama3.2\nlibrary_name: transformers\n")
    assert "base_model: organisation/name\n" in card
    assert "- lora\n" in card
    assert "**Substitution:** `text-bison@002`" in card
    assert "the weights are those of step 60" in card
    assert "apply_chat_template" in card
    assert "| `/eval_total_loss` | 0.123457 |" in card
    assert "| source_sha256 | digest |" in card
    assert "| batch_size | 8 |" in card
    assert "1.00 GiB" in card


def test_the_card_of_byte_tiny_warns() -> None:
    card = render_card(
        PROVENANCE
        | {"checkpoint": "builtin://byte-tiny", "substitute_for": "", "best_step": 100}
        | {
            "license": "",
            "prompt_format": "plain",
            "parameters": {"tuning": "full", "batch_size": 8},
        }
    )
    assert "random weights" in card
    assert "Substitution" not in card
    assert "license" not in card
    assert "base_model" not in card
    assert "lora" not in card
    assert "weights are those of step" not in card
    assert "apply_chat_template" not in card


def test_a_fact_that_is_missing_is_an_error() -> None:
    with pytest.raises(Exception, match="revision"):
        render_card({key: value for key, value in PROVENANCE.items() if key != "revision"})
