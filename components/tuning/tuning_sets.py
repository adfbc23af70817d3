"""The encoded examples of a run, checked against its arguments and its model."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kfp_llm_tuning.components.common.errors import Problem, UserError, raise_all
from kfp_llm_tuning.components.data.encoded_set import EncodedSet
from kfp_llm_tuning.components.tuning import processes
from kfp_llm_tuning.components.tuning.arguments import TuningArguments

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TuningSets:
    """What a run trains and is evaluated on.

    Attributes:
        train: At least one example.
        evaluation: May be empty.
    """

    train: EncodedSet
    evaluation: EncodedSet

    @property
    def longest(self) -> int:
        """Tokens of the longest sequence."""
        return max(int(encoded.lengths.max(initial=0)) for encoded in (self.train, self.evaluation))

    @property
    def largest_token(self) -> int:
        """The largest token id of any example."""
        return max(self.train.largest_token, self.evaluation.largest_token)

    def check_model(self, config: Any) -> None:
        """Checks that the model knows every token; warns where a sequence is longer than it took.

        Args:
            config: The base model's configuration of transformers.

        Raises:
            UserError: If a token is beyond its vocabulary.
        """
        text = config.get_text_config()
        vocabulary = text.vocab_size
        if self.largest_token >= vocabulary:
            raise UserError(
                Problem(
                    f"token {self.largest_token} is beyond the model's vocabulary of {vocabulary}.",
                    "train_dataset",
                    fix="Encode the data with the tokenizer of the model that is tuned.",
                )
            )
        positions = getattr(text, "max_position_embeddings", None)
        if positions and self.longest > positions:
            logger.warning(
                "The longest sequence has %d tokens, the model was made for %d.",
                self.longest,
                positions,
            )


def open_sets(arguments: TuningArguments, train: Path, evaluation: Path | None) -> TuningSets:
    """Opens the encoded examples of a run.

    Args:
        arguments: What is asked for.
        train: Output folder of dataset-encoder.
        evaluation: Output folder of evaluation-dataset-encoder; its set may be empty.

    Returns:
        The sets, memory-mapped.

    Raises:
        UserError: With every problem found: no examples, early stopping without an evaluation set,
            a batch that cannot be shared among the processes.
    """
    sets = TuningSets(EncodedSet(train), EncodedSet(evaluation))
    problems = []
    if not len(sets.train):
        problems.append(Problem("has no examples.", "train_dataset", "at least one example"))
    if arguments.enable_early_stopping and not len(sets.evaluation):
        problems.append(
            Problem(
                "needs an evaluation set.",
                "enable_early_stopping",
                fix="Give evaluation_data_uri or evaluation_fraction, or turn it off.",
            )
        )
    if processes.count() > arguments.batch_size:
        problems.append(
            Problem(
                f"{arguments.batch_size} is less than the number of processes.",
                "batch_size",
                f"at least {processes.count()}",
            )
        )
    raise_all(problems)
    return sets
