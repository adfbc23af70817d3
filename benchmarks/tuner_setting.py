"""What `tuner.py` measures on: a model and rows, the same for all contenders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from encoded_examples import write_sequences
from numpy.typing import NDArray
from tokenizers import Tokenizer, models
from transformers import (
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)
from tuner_texts import Texts

from kfp_llm_tuning.components.data.encoded_set import EncodedSet
from kfp_llm_tuning.components.data.token_sequence import TokenSequence
from kfp_llm_tuning.components.models.precision import has_fast_bf16
from kfp_llm_tuning.components.tuning.arguments import TuningArguments
from kfp_llm_tuning.components.tuning.torch_engine.trainable_model import load_trainable

# Rows of a step.
BATCH = 8
WARM_UP = 3
_ROWS = 800


@dataclass(frozen=True)
class Setting:
    """A model and its data.

    Attributes:
        title: Names it in results.
        make_model: Builds or loads the model, the same each time; with adapters where ``tuning`` is
            "adapter".
        tokenizer: Of the model; TRL asks for it.
        tuning: "full" or "adapter".
        vocabulary: Tokens that rows are made of.
        texts: What the rows are like.
        folder: Takes the rows.
        tokens: Tokens that each contender is timed on.
    """

    title: str
    make_model: Callable[[], Any]
    tokenizer: PreTrainedTokenizerBase
    tuning: str
    vocabulary: int
    texts: Texts
    folder: Path
    tokens: int

    @property
    def steps(self) -> int:
        """Steps of each contender, with those of the warm-up."""
        return WARM_UP + max(self.tokens // (BATCH * self.texts.tokens), 3)

    @property
    def answers_a_step(self) -> int:
        """What the tuner calls the batch size: rows have several answers."""
        return BATCH * self.texts.answers

    def write(self) -> None:
        """Writes the rows."""
        write_sequences(self.folder, self.texts.draw(_ROWS, self.vocabulary))

    def encoded(self) -> EncodedSet:
        """Opens the rows as the tuner does."""
        return EncodedSet(self.folder)

    def columns(self, **named: Callable[[TokenSequence], list[int]]) -> Dataset:
        """Makes columns of the rows, for the peers."""
        dataset = self.encoded()
        rows = [dataset.sequence(row) for row in range(len(dataset))]
        return Dataset.from_dict(
            {name: [make(row) for row in rows] for name, make in named.items()}
        )

    def common_arguments(self) -> dict[str, Any]:
        """Arguments of transformers' and TRL's trainers."""
        return {
            "output_dir": str(self.folder / "unused"),
            "max_steps": self.steps,
            "per_device_train_batch_size": BATCH,
            "bf16": has_fast_bf16(),
            "use_cpu": True,
            "report_to": "none",
            "save_strategy": "no",
            "logging_steps": 10,
            "disable_tqdm": True,
            "train_sampling_strategy": "group_by_length",
        }


def learned(row: TokenSequence) -> NDArray[np.int64]:
    """Says of each token whether it is a label, by 1 or 0; shape (length,)."""
    mask = np.zeros(len(row.input_ids), dtype=np.int64)
    mask[row.positions + 1] = 1
    return mask


def small_llama(vocabulary: int, texts: Texts, folder: Path, tokens: int) -> Setting:
    """An 8.5M-parameter Llama (at a vocabulary of 4k), all of whose weights are tuned."""

    def make() -> LlamaForCausalLM:
        torch.manual_seed(0)
        config = LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=256,
            intermediate_size=688,
            num_hidden_layers=8,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=1024,
            tie_word_embeddings=False,
            pad_token_id=0,
        )
        return LlamaForCausalLM(config)

    tokenizer = tokenizer_of_words(vocabulary)
    title = f"vocabulary {vocabulary}, {texts.title}"
    return Setting(title, make, tokenizer, "full", vocabulary, texts, folder, tokens)


def pretrained(model: Path, tuning: str, texts: Texts, folder: Path, tokens: int) -> Setting:
    """A pretrained model, loaded for tuning as the command loads it."""
    arguments = TuningArguments("m", tuning=tuning)
    tokenizer = AutoTokenizer.from_pretrained(model)

    def make() -> Any:
        torch.manual_seed(0)
        return load_trainable(model, arguments, bf16=has_fast_bf16()).model

    title = f"{model.name}, {tuning}, {texts.title}"
    return Setting(title, make, tokenizer, tuning, len(tokenizer), texts, folder, tokens)


def tokenizer_of_words(vocabulary: int) -> PreTrainedTokenizerFast:
    """Makes a tokenizer of so many words, the first of which are padding, beginning and end."""
    words = {"<pad>": 0, "<bos>": 1, "<eos>": 2} | {f"t{i}": i for i in range(3, vocabulary)}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="<pad>")),
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
    )
