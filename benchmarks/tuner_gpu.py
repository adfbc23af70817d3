"""Tuner tokens/s on one GPU, and its share of the GPU's arithmetic, against TRL with Liger.

A 1B-class shape of random weights, bf16, sequences of 2048 tokens of which a quarter are labels,
with LoRA and in full, all in one run. Needs CUDA, trl and liger-kernel; ends with a message where
they are not.

Usage: ``python benchmarks/tuner_gpu.py [--shape llama|qwen] [--steps 30] [--batch 8]``.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from common import record
from encoded_examples import write_examples

# Dense bf16 of one H200 or H100 SXM as measured by large matrix products, not the data sheet's.
PEAK_FLOPS = 790e12
LENGTH = 2048
LABELS = LENGTH // 4
SHAPES: dict[str, dict[str, Any]] = {
    "llama": {  # Llama 3.2 1B
        "model_type": "llama",
        "vocab_size": 128_256,
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "tie_word_embeddings": True,
    },
    "qwen": {  # Qwen2.5 1.5B
        "model_type": "qwen2",
        "vocab_size": 151_936,
        "hidden_size": 1536,
        "intermediate_size": 8960,
        "num_hidden_layers": 28,
        "num_attention_heads": 12,
        "num_key_value_heads": 2,
        "tie_word_embeddings": True,
    },
}


def build(shape: dict[str, Any], tuning: str) -> Any:
    """Builds the model on the GPU, with its adapter where one is tuned."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    options = {key: value for key, value in shape.items() if key != "model_type"}
    config = AutoConfig.for_model(shape["model_type"], max_position_embeddings=LENGTH, **options)
    dtype = torch.bfloat16 if tuning == "adapter" else torch.float32
    with torch.device("cuda"):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    if tuning == "full":
        return model
    return get_peft_model(model, LoraConfig(r=16, target_modules="all-linear"))


def flops_of_a_token(model: Any, tuning: str) -> float:
    """Counts the arithmetic that a token needs: 2 a weight forward, 2 for each gradient.

    Frozen weights need the gradient of their input only, trained ones that of themselves too
    (Kaplan et al. 2020, "Scaling Laws for Neural Language Models", section 2.1); causal attention
    adds 2 x layers x hidden x length forward. The output layer counts in full for everyone.
    """
    config = model.config
    head = config.vocab_size * config.hidden_size
    embedding = 0 if config.tie_word_embeddings else head  # Looked up, not multiplied.
    weights = sum(p.numel() for p in model.parameters()) - embedding
    attention = config.num_hidden_layers * config.hidden_size * LENGTH
    passes = 3 if tuning == "full" else 2
    return 2 * weights * passes + 2 * attention * 3


def ours(model: Any, folder: Path, steps: int, batch: int, tuning: str) -> float:
    """This project's trainer."""
    from tuner_contenders import run_ours_timed

    from kfp_llm_tuning.components.data.encoded_set import EncodedSet
    from kfp_llm_tuning.components.tuning.arguments import TuningArguments

    arguments = TuningArguments(
        "m", train_steps=steps, batch_size=batch, tuning=tuning, checkpoint_interval=steps
    )
    return run_ours_timed(model, arguments, EncodedSet(folder), bf16=True)


def trl_with_liger(model: Any, vocabulary: int, folder: Path, steps: int, batch: int) -> float:
    """TRL's SFTTrainer with Liger's fused kernels and loss."""
    import trl
    from datasets import load_from_disk
    from tuner_contenders import train_timed
    from tuner_setting import tokenizer_of_words

    mask = [0] * (LENGTH - LABELS) + [1] * LABELS
    data = load_from_disk(str(folder)).map(
        lambda row: {"completion_mask": mask},
        remove_columns=["starts", "stops", "ends", "line", "turns"],
    )
    config = trl.SFTConfig(
        output_dir=str(folder / "unused"),
        max_steps=steps,
        max_length=LENGTH,
        per_device_train_batch_size=batch,
        completion_only_loss=True,
        use_liger_kernel=True,
        gradient_checkpointing=False,
        bf16=True,
        learning_rate=2e-4,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
    )
    tokenizer = tokenizer_of_words(vocabulary)
    return train_timed(
        trl.SFTTrainer(model, config, train_dataset=data, processing_class=tokenizer)
    )


def main() -> None:
    """Measures LoRA and full tuning of one shape."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=SHAPES, default="llama")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--batch", type=int, default=8)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("This benchmark needs a CUDA GPU; torch sees none here.")
    if missing := [name for name in ("trl", "liger_kernel") if not importlib.util.find_spec(name)]:
        sys.exit(f"This benchmark needs {' and '.join(missing)} besides the tuning extra.")
    shape = SHAPES[options.shape]
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        count = 4 * options.batch
        generator = np.random.default_rng(0)
        ids = generator.integers(3, shape["vocab_size"], (count, LENGTH)).astype(np.int32)
        write_examples(folder, list(ids), [LENGTH - LABELS] * count)
        for tuning in ("adapter", "full"):
            common = (folder, options.steps, options.batch)
            mine = ours(model := build(shape, tuning), *common, tuning)
            flops = flops_of_a_token(model, tuning)
            del model
            torch.cuda.empty_cache()
            peer = trl_with_liger(build(shape, tuning), shape["vocab_size"], *common)
            torch.cuda.empty_cache()
            record(
                f"tuner on GPU, {options.shape} shape, {tuning}: peer TRL with Liger",
                mine,
                peer,
                PEAK_FLOPS / flops,
                "tokens/s",
                f"{torch.cuda.get_device_name()}, {mine * flops / PEAK_FLOPS:.1%} of 790 TFLOP/s "
                f"(peer {peer * flops / PEAK_FLOPS:.1%}), bf16, {options.batch} x {LENGTH}, "
                + versions,
            )


if __name__ == "__main__":
    main()
