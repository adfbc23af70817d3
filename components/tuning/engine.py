"""What tunes: the interface that each library's folder implements, and the choice among them."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from kfp_llm_tuning.components.common.errors import Problem, UserError

if TYPE_CHECKING:
    from transformers import TrainerCallback, TrainerState

    from kfp_llm_tuning.components.tuning.arguments import TuningArguments
    from kfp_llm_tuning.components.tuning.checkpoints import Checkpoint, CheckpointDirectory
    from kfp_llm_tuning.components.tuning.interruption import Interruption
    from kfp_llm_tuning.components.tuning.run_state import RunState
    from kfp_llm_tuning.components.tuning.tuning_sets import TuningSets

TORCH, JAX = "torch", "jax"
# Each is named after the library that it computes with.
ENGINES = (TORCH, JAX)
# What a distribution of ours is installed with for them.
_EXTRAS = {TORCH: "tuning", JAX: "tpu"}
# Set in the image that holds the engine.
ENGINE_VARIABLE = "KFP_LLM_TUNING_ENGINE"


@dataclass(frozen=True)
class RunInputs:
    """What every engine begins a run with.

    Attributes:
        arguments: What is asked for.
        folder: The base model, which was examined: its files alone, no weights in memory.
        sets: The encoded examples.
        checkpoints: Where checkpoints go; held for this run.
        newest: The checkpoint to go on from; None at the beginning.
    """

    arguments: TuningArguments
    folder: Path
    sets: TuningSets
    checkpoints: CheckpointDirectory
    newest: Checkpoint | None


@dataclass(frozen=True)
class Computation:
    """How a run computes, for people and for the saved model's provenance.

    Attributes:
        device: Name of what computes, and how many of it.
        bf16: Whether in bfloat16, else in float32.
        dtype: Type of the checkpoint's weights, which the tuned model keeps: "bfloat16" ...
        trained_parameters: How many are trained.
        limits: What a forward pass holds at most, in words.
        packages: The distributions whose versions a result depends on.
    """

    device: str
    bf16: bool
    dtype: str
    trained_parameters: int
    limits: str
    packages: tuple[str, ...]


class EngineRun(Protocol):
    """A run whose model is loaded. Every process of the run has one, and calls the same methods.

    Attributes:
        computation: How it computes.
    """

    computation: Computation

    @property
    def state(self) -> TrainerState:
        """Steps done and the log history, as transformers keeps them."""

    @property
    def run_state(self) -> RunState:
        """The best step, whether the run has ended, its training time."""

    def restore(self, checkpoint: Path) -> None:
        """Takes over what a checkpoint remembers, before :meth:`run` or :meth:`load_finished`."""

    def run(self, checkpoint: Path | None) -> None:
        """Trains to the end, or until interrupted; then a checkpoint is saved.

        Args:
            checkpoint: Where to go on from, already restored; None begins anew.
        """

    def load_finished(self, checkpoint: Path) -> None:
        """Takes over a run that had come to its end, from its last checkpoint, already restored."""

    def load_weights(self, checkpoint: Path) -> None:
        """Loads a checkpoint's weights alone: those that are to be exported."""

    def peak_memory_bytes(self) -> int:
        """Tells the most memory that the run has held of a device, or of a processor's machine."""

    def write_model(self, folder: Path | None) -> None:
        """Writes config.json and weights in Hugging Face layout, and adapters by themselves.

        Args:
            folder: Where to; None in processes that do not write, which may have to give what they
                hold to the one that does.
        """

    def wait_for_all(self) -> None:
        """Waits until every process of the run has come here."""


def chosen_engine(asked: str = "") -> str:
    """Decides which engine tunes.

    Args:
        asked: One of ``ENGINES``; empty for the one that this image is made for.

    Raises:
        UserError: If there is no such engine, or if it is not installed here.
    """
    name = asked or os.environ.get(ENGINE_VARIABLE) or TORCH
    if name not in ENGINES:
        raise UserError(Problem(f"there is no engine {name}.", "engine", ", ".join(ENGINES)))
    if find_spec(name) is None:
        what = f"the engine {name} is not installed here."
        fix = (
            f"Use the tuner's image that has it, or install it in an environment of its own: "
            f"pip install 'kfp-llm-tuning[{_EXTRAS[name]}]'."
        )
        raise UserError(Problem(what, "engine", fix=fix))
    return name


def prepare_run(
    engine: str,
    inputs: RunInputs,
    interruption: Interruption,
    callbacks: Sequence[TrainerCallback],
) -> EngineRun:
    """Loads the model and decides how to compute.

    Args:
        engine: One of ``ENGINES``; its folder has a module ``engine`` with ``prepare``.
        inputs: What the run begins with.
        interruption: Asked after every step.
        callbacks: Told as transformers' Trainer tells its own; ``on_log`` gets every entry of the
            log history.

    Returns:
        The run, ready for its first step.

    Raises:
        UserError: If the engine cannot do what is asked for with this model.
    """
    module = importlib.import_module(f"kfp_llm_tuning.components.tuning.{engine}_engine.engine")
    run: EngineRun = module.prepare(inputs, interruption, callbacks)
    return run
