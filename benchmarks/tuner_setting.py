"""What `tuner.py` measures on: a model and examples, the same for all contenders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from encoded_examples import write_examples
from tokenizers import Tokenizer, models
from transformers import (
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from kfp_llm_tuning.components.data.encoded_set import EncodedSet
from kfp_llm_tuning.components.models.precision import has_fast_bf16
from kfp_llm_tuning.components.tuning.arguments import TuningArguments
from kfp_llm_tuning.components.tuning.trainable_model import load_trainable

BATCH = 8
_EXAMPLES = 800


@dataclass(frozen=True)
class Setting:
    """A model and its data.

    Attributes:
        title: Names it in results.
        make_model: Builds or loads the model, the same each time; with adapters where ``tuning`` is
            "adapter".
        tokenizer: Of the model; TRL asks for it.
        tuning: "full" or "adapter".
        vocabulary: Tokens that examples are made of.
        prompt_tokens: Tokens of a prompt on average.
        folder: Takes the examples.
        steps: Of each contender.
    """

    title: str
    make_model: Callable[[], Any]
    tokenizer: PreTrainedTokenizerBase
    tuning: str
    vocabulary: int
    prompt_tokens: int
    folder: Path
    steps: int

    def write_examples(self) -> None:
        """Random tokens; prompts of like length, 1 to 7 in a label, as clinc150's texts are."""
        generator = np.random.default_rng(0)
        ids, prompts = [], []
        for _ in range(_EXAMPLES):
            prompt = int(np.clip(generator.normal(self.prompt_tokens, 8), 20, 160))
            length = prompt + int(generator.integers(1, 8))
            ids.append(generator.integers(3, self.vocabulary, length).astype(np.int32))
            prompts.append(prompt)
        write_examples(self.folder, ids, prompts)

    def encoded(self) -> EncodedSet:
        """Opens the examples as the tuner does."""
        return EncodedSet(self.folder)

    def columns(self, **named: Callable[[list[int], int], Any]) -> Dataset:
        """Makes columns of each example's tokens and prompt length, for the peers."""
        dataset = self.encoded()
        sequences = [dataset.sequence(row) for row in range(len(dataset))]
        rows = [(one.input_ids.tolist(), int(one.starts[0])) for one in sequences]
        return Dataset.from_dict(
            {name: [make(ids, prompt) for ids, prompt in rows] for name, make in named.items()}
        )

    @property
    def tokens_per_example(self) -> int:
        """Tokens of an example on average."""
        return self.prompt_tokens + 4

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


def small_llama(vocabulary: int, folder: Path, steps: int) -> Setting:
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
    title = f"vocabulary {vocabulary}"
    return Setting(title, make, tokenizer, "full", vocabulary, 62, folder, steps)


def pretrained(model: Path, tuning: str, folder: Path, steps: int) -> Setting:
    """A pretrained model, loaded for tuning as the command loads it."""
    arguments = TuningArguments("m", train_steps=steps, tuning=tuning)
    tokenizer = AutoTokenizer.from_pretrained(model)

    def make() -> Any:
        torch.manual_seed(0)
        return load_trainable(model, arguments, bf16=has_fast_bf16()).model

    title = f"{model.name}, {tuning}"
    return Setting(title, make, tokenizer, tuning, len(tokenizer), 94, folder, steps)


def tokenizer_of_words(vocabulary: int) -> PreTrainedTokenizerFast:
    """Makes a tokenizer of so many words, which TRL asks for and nothing is written with."""
    words = {"<pad>": 0, "<bos>": 1, "<eos>": 2} | {f"t{i}": i for i in range(3, vocabulary)}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="<pad>")),
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
    )
