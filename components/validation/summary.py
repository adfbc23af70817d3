"""What a validation says: the figures of both datasets and every finding's count."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field

from kfp_llm_tuning.components.data.tasks import Task
from kfp_llm_tuning.components.validation.dataset_profile import Sample
from kfp_llm_tuning.components.validation.lengths import Lengths


@dataclass(frozen=True)
class DatasetSummary:
    """One dataset in figures.

    Attributes:
        uri: The file.
        bytes: Its size, decompressed.
        lines: Lines, blank ones included.
        blank_lines: Lines of white space only; skipped.
        examples: Examples, bad ones included.
        good_examples: Examples without an error.
        training_examples: What the tuner sees: text examples, or assistant messages.
        sequences: What the tuner reads these in: one a conversation, and one more for each answer
            that cannot be learned in one pass with those before.
        messages: Messages of all conversations, bad ones included; 0 for text.
        advised_on: Good examples that duplicates, labels, lengths and tokens were looked at in.
        ignored_fields: Fields that are not read, with how often they stand in those examples.
        input_characters: Of chat: context and all messages but the last.
        output_characters: Of chat: every assistant message.
        input_tokens: As the encoder will write them; of chat the last, longest prompt.
        output_tokens: As the encoder will write them.
        task: What its examples ask for.
        labels: Of classification-like data: each label's count, the most frequent first.
        conversation_pairs: How many conversations have each number of user-assistant pairs.
        samples: A random few examples.
    """

    uri: str
    bytes: int
    lines: int
    blank_lines: int
    examples: int
    good_examples: int
    training_examples: int
    sequences: int
    messages: int
    advised_on: int
    ignored_fields: dict[str, int]
    input_characters: Lengths | None
    output_characters: Lengths | None
    input_tokens: Lengths | None
    output_tokens: Lengths | None
    task: Task
    labels: dict[str, int]
    conversation_pairs: dict[int, int]
    samples: list[Sample]


@dataclass(frozen=True)
class StepsSummary:
    """What the tuner will do with the training set.

    Attributes:
        train_steps: Optimiser steps.
        batch_size: Examples a step.
        examples_seen: Their product.
        epochs: Passes over the training examples.
        reason: Where the steps come from; empty where they were given.
    """

    train_steps: int
    batch_size: int
    examples_seen: int
    epochs: float
    reason: str = ""


@dataclass(frozen=True)
class FindingSummary:
    """A finding as it is printed.

    Attributes:
        severity: "error", "warning" or "note".
        kind: Its short name.
        where: File, line and field.
        line: The line, 0 for the dataset as a whole.
        path: The field.
        message: What is wrong, what is allowed, what to do.
        times: How many lines this is said of; ``line`` is the first.
    """

    severity: str
    kind: str
    where: str
    line: int
    path: str
    message: str
    times: int = 1


@dataclass(frozen=True)
class Summary:
    """A validation's result.

    Attributes:
        valid: Whether the dataset may be tuned on.
        model_unchecked: Why nothing is known of the model; empty where it was looked at.
        strict: Whether warnings counted as errors.
        model_reference: The model that the limits come from.
        checkpoint: What is tuned under that name.
        row_format: "text" or "chat".
        training: The training set.
        evaluation: The evaluation set, if there is one.
        steps: What the tuner will do; None where no example is good.
        errors: How many errors, printed or not.
        warnings: How many warnings, printed or not.
        errors_by_kind: The same by kind.
        warnings_by_kind: The same by kind.
        findings: Those that are printed.
        bounded: What was not looked at, each in a sentence; empty where everything was.
    """

    valid: bool
    model_unchecked: str
    strict: bool
    model_reference: str
    checkpoint: str
    row_format: str
    training: DatasetSummary
    evaluation: DatasetSummary | None
    steps: StepsSummary | None
    errors: int
    warnings: int
    errors_by_kind: dict[str, int]
    warnings_by_kind: dict[str, int]
    findings: list[FindingSummary]
    bounded: list[str] = field(default_factory=list)

    def to_json(self) -> str:
        """Writes the summary as JSON text."""
        return json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False) + "\n"

    def metrics(self) -> dict[str, float]:
        """Picks the figures that a person compares between runs."""
        training = self.training
        figures: dict[str, float] = {
            "training_examples": training.training_examples,
            "evaluation_examples": self.evaluation.training_examples if self.evaluation else 0,
            "errors": self.errors,
            "warnings": self.warnings,
        }
        if self.steps:
            figures["epochs"] = round(self.steps.epochs, 3)
        for name in ("duplicate", "near_duplicate", "conflict", "leakage"):
            figures[f"{name}_warnings"] = self.errors_by_kind.get(
                name, 0
            ) + self.warnings_by_kind.get(name, 0)
        for name, lengths in (
            ("input_tokens", training.input_tokens),
            ("output_tokens", training.output_tokens),
        ):
            if lengths:
                figures[f"{name}_mean"] = lengths.mean
                figures[f"{name}_maximum"] = lengths.maximum
                figures[f"{name}_truncated"] = lengths.over_limit
        return figures
