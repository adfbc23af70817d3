"""Prepares a run of this engine's loop."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
from transformers import TrainerCallback

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.tuning import processes
from kfp_llm_tuning.components.tuning.engine import EngineRun, RunInputs
from kfp_llm_tuning.components.tuning.interruption import Interruption
from kfp_llm_tuning.components.tuning.jax_engine.jax_run import JaxRun
from kfp_llm_tuning.components.tuning.jax_engine.layers import FSDP
from kfp_llm_tuning.components.tuning.jax_engine.loop import Loop
from kfp_llm_tuning.components.tuning.jax_engine.model import load_model
from kfp_llm_tuning.components.tuning.jax_engine.token_buckets import TokenBuckets

# Beside the checkpoints: a run that goes on compiles nothing anew.
_CACHE = ".compiled"
# Tokens of one shard in one pass; not measured on a TPU.
_TOKENS = 2048


def prepare(
    inputs: RunInputs, interruption: Interruption, callbacks: Sequence[TrainerCallback]
) -> EngineRun:
    """Loads the model where it will be trained; see :func:`..engine.prepare_run`."""
    arguments, sets = inputs.arguments, inputs.sets
    if processes.count() > 1:
        what = f"{processes.count()} processes share the run."
        fix = "Start one process: it takes all the TPUs of its machine."
        raise UserError(Problem(what, "processes", "1 with the engine for TPU", fix))
    _keep_compiled(inputs.checkpoints.path)
    bf16 = arguments.precision == "bf16" or (
        arguments.precision == "auto" and jax.default_backend() == "tpu"
    )
    model = load_model(inputs.folder, arguments, bf16=bf16)
    buckets = TokenBuckets.of_data(
        np.concatenate([sets.train.lengths, sets.evaluation.lengths]),
        np.concatenate([sets.train.label_counts, sets.evaluation.label_counts]),
        shards=model.mesh.shape[FSDP],
        tokens=arguments.micro_batch_tokens or _TOKENS,
        most_rows=min(arguments.batch_size, max(len(sets.train), len(sets.evaluation))),
    )
    loop = Loop(model, inputs, buckets, interruption, callbacks, bf16=bf16)
    return JaxRun(model, inputs.folder, loop, buckets, bf16=bf16)


def _keep_compiled(checkpoints: Path) -> None:
    jax.config.update("jax_compilation_cache_dir", str(checkpoints / _CACHE))
    # The compiler of a TPU takes seconds for the least of programs.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
