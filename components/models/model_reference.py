"""A model that is tuned: its checkpoint, its limits, and what its runs do by default."""

from __future__ import annotations

from dataclasses import dataclass

from kfp_llm_tuning.components.models.dataset_limits import OPEN, PUBLISHED, DatasetLimits
from kfp_llm_tuning.components.models.learning_rates import LEGACY_RATE


@dataclass(frozen=True)
class ModelReference:
    """What is tuned, and how by default.

    Attributes:
        name: The name in the table, or the checkpoint as the user wrote it.
        checkpoint: Where the weights are: ``builtin://byte-tiny``, ``hf://organisation/name``,
            ``gs://``, ``s3://`` or a local path.
        revision: Commit, tag or branch of a ``hf://`` checkpoint; empty elsewhere.
        kind: "text", "chat", "code", "codechat", or "any" for models that take both formats.
        max_input_tokens: Longer inputs are truncated.
        max_output_tokens: Longer outputs are truncated.
        context_tokens: Positions the checkpoint was trained for; 0 where the table does not know.
        batch_sizes: Examples in one optimiser step, by accelerator ("TPU", "GPU").
        train_steps: Recommended optimiser steps.
        learning_rate: Recommended peak rate for ``tuning``.
        tuning: "adapter" (LoRA) or "full".
        checkpoint_selection: Whether the best step rather than the last is kept by default.
        license: Licence of the checkpoint; empty where the table does not know.
        substitute_for: The closed model that the checkpoint stands in for, or empty.
        label: Value of the label ``google-vertex-llm-tuning-base-model-id`` of tuned models.
    """

    name: str
    checkpoint: str
    revision: str
    kind: str
    max_input_tokens: int
    max_output_tokens: int
    context_tokens: int
    batch_sizes: dict[str, int]
    train_steps: int
    learning_rate: float
    tuning: str
    checkpoint_selection: bool
    license: str
    substitute_for: str
    label: str

    def selects_checkpoint(self, asked: str) -> bool:
        """Decides whether the best step is kept.

        Args:
            asked: true, false, or default for the model's own.
        """
        choice = asked.lower()
        return self.checkpoint_selection if choice == "default" else choice == "true"

    def steps(self, asked: int) -> int:
        """Gives the optimiser steps of a run: those asked for, the method's own for 0 or less."""
        return asked if asked > 0 else self.train_steps

    def batch_size(self, accelerator: str, asked: int = 0) -> int:
        """Gives the examples of an optimiser step: those asked for, the model's own for 0."""
        return asked or self.batch_sizes[accelerator]

    def rate(self, asked: float, tuning_method: str) -> float:
        """Gives the peak learning rate of a run, before the multiplier.

        Args:
            asked: Negative for the method's own; of ``tune`` in the units of its own optimiser, in
                which 3.0 is the rate that it recommends, so that 3.0 is ours that we recommend.
            tuning_method: A choice of the root input.

        Returns:
            The rate.
        """
        if asked < 0:
            return self.learning_rate
        return asked * self.learning_rate / LEGACY_RATE if tuning_method == "tune" else asked

    @property
    def dataset_limits(self) -> DatasetLimits:
        """How many examples its datasets may have; the closed names keep the published limits."""
        return PUBLISHED if self.substitute_for else OPEN

    @property
    def chat_only(self) -> bool:
        """Whether the model takes conversations and nothing else."""
        return self.kind in ("chat", "codechat")

    @property
    def text_only(self) -> bool:
        """Whether the model takes plain text and no conversations."""
        return self.kind in ("text", "code")

    @property
    def checkpoint_at_revision(self) -> str:
        """The checkpoint with its revision, as ``hf://organisation/name@revision``."""
        return f"{self.checkpoint}@{self.revision}" if self.revision else self.checkpoint

    @property
    def substitution_notice(self) -> str:
        """One sentence for logs, reports and descriptions; empty where nothing is substituted."""
        if not self.substitute_for:
            return ""
        return (
            f"{self.substitute_for} is closed and no longer served: the open-weight checkpoint "
            f"{self.checkpoint_at_revision} ({self.license}) stands in for it and is what is tuned."
        )
