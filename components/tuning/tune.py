"""One tuning run from encoded data to a saved model; the command and the component call it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from kfp_llm_tuning.components.common.errors import Problem, RunAgain, UserError, raise_all
from kfp_llm_tuning.components.common.processors import prepare_to_compute
from kfp_llm_tuning.components.models import base_models
from kfp_llm_tuning.components.models.checkpoint_files import local_files
from kfp_llm_tuning.components.models.checkpoint_problems import naming_parameter
from kfp_llm_tuning.components.models.inspection.inspect import inspect_checkpoint
from kfp_llm_tuning.components.models.model_reference import ModelReference
from kfp_llm_tuning.components.models.model_references import resolve
from kfp_llm_tuning.components.tuning import processes, provenance
from kfp_llm_tuning.components.tuning.arguments import TuningArguments
from kfp_llm_tuning.components.tuning.arithmetic import computes_in_bf16
from kfp_llm_tuning.components.tuning.checkpoint_exchange import newest_of_all, on_all
from kfp_llm_tuning.components.tuning.checkpoints import Checkpoint, CheckpointDirectory
from kfp_llm_tuning.components.tuning.export import TunedModel, export_model
from kfp_llm_tuning.components.tuning.exported_weights import check_mergeable
from kfp_llm_tuning.components.tuning.interruption import Interruption
from kfp_llm_tuning.components.tuning.places import TuningPaths
from kfp_llm_tuning.components.tuning.progress import format_seconds
from kfp_llm_tuning.components.tuning.reporter import Reporter
from kfp_llm_tuning.components.tuning.run_identity import identify
from kfp_llm_tuning.components.tuning.run_settings import RunSettings, decide_settings
from kfp_llm_tuning.components.tuning.saving_trial import try_saving
from kfp_llm_tuning.components.tuning.sharding import decides_to_shard
from kfp_llm_tuning.components.tuning.trainable_model import TrainableModel, load_trainable
from kfp_llm_tuning.components.tuning.trainer import LabelOnlyTrainer
from kfp_llm_tuning.components.tuning.tuning_sets import TuningSets, open_sets

logger = logging.getLogger(__name__)


def tune(
    arguments: TuningArguments, paths: TuningPaths, callbacks: Sequence[TrainerCallback] = ()
) -> dict[str, Any]:
    """Tunes a model, or goes on where an interrupted run stopped, and saves it.

    Args:
        arguments: What to do.
        paths: Where to read and write.
        callbacks: Told of checkpoints, evaluations and loggings, beside this module's own.

    Returns:
        The content of the saved model's tuning.json.

    Raises:
        UserError: For a mistake in arguments or data, or a loss that is not finite.
        RunAgain: If interrupted, after a checkpoint was saved.
    """
    prepare_to_compute()
    interruption = Interruption()
    with interruption.watching():
        sets = open_sets(arguments, paths.train_dataset, paths.evaluation_dataset)
        reference = resolve(arguments.model_reference)
        checkpoints = CheckpointDirectory(paths.checkpoints)
        identity = identify(arguments, reference, sets)
        main = processes.is_main()
        with checkpoints.claimed(identity) if main else contextlib.nullcontext():
            return _Run(arguments, paths, reference, sets, checkpoints).carry_out(
                interruption, callbacks
            )


@dataclass(frozen=True)
class _Run:
    """A run that holds its checkpoint folder."""

    arguments: TuningArguments
    paths: TuningPaths
    reference: ModelReference
    sets: TuningSets
    checkpoints: CheckpointDirectory

    def carry_out(
        self, interruption: Interruption, callbacks: Sequence[TrainerCallback]
    ) -> dict[str, Any]:
        torch.manual_seed(self.arguments.seed)
        folder = base_models.materialise(self.reference)
        tokenizer = self._inspected_tokenizer(folder)
        newest = newest_of_all(self.checkpoints)
        bf16 = computes_in_bf16(self.arguments.precision, newest)
        sharded = decides_to_shard(self.arguments, folder, bf16=bf16)
        base = load_trainable(folder, self.arguments, bf16=bf16, sharded=sharded)
        if base.is_merged_from_files:
            check_mergeable(base.model, folder)
        self.sets.check_model(base.model)
        self._try_saving(base.model, tokenizer)
        settings = decide_settings(self.arguments, base, self.sets, self.checkpoints)
        if not processes.is_main():
            logging.getLogger("kfp_llm_tuning").setLevel(logging.WARNING)
        reporter = Reporter(self.paths.metrics, self.arguments.train_steps)
        trainer = LabelOnlyTrainer(
            base.model, settings, self.sets, interruption, [reporter, *callbacks]
        )
        self._say_decisions(settings, trainer)
        try:
            _train(trainer, newest, reporter)
        finally:
            reporter.close()
        if not trainer.run_state.finished:
            raise RunAgain(
                f"{interruption.reason}; step {trainer.state.global_step} of "
                f"{self.arguments.train_steps} is saved."
            )
        facts = {
            **provenance.describe_run(self.arguments, trainer, self._select(trainer)),
            **provenance.describe_model(self.reference, folder, base),
            **provenance.describe_data(self.sets),
        }
        if processes.is_main() or base.sharded:
            self._export(trainer, tokenizer, base, facts)
        trainer.accelerator.wait_for_everyone()
        logger.info(
            "Done: %d steps in %s; model in %s.",
            trainer.state.global_step,
            format_seconds(trainer.run_state.seconds),
            self.paths.output,
        )
        return facts

    def _inspected_tokenizer(self, folder: Path) -> Any:
        """Examines the base model; gives its tokenizer where nothing stands against tuning it."""
        with naming_parameter("large_model_reference"):
            found = inspect_checkpoint(folder, self.reference.name, local_files(folder))
            raise_all(found.problems)
        if processes.is_main():
            for problem in found.warnings:
                logger.warning("%s", problem)
            for problem in found.notes:
                logger.info("%s", problem)
        return found.tokenizer

    def _try_saving(self, model: Any, tokenizer: Any) -> None:
        if processes.is_main():
            base = model.get_base_model() if self.arguments.tuning == "adapter" else model
            limit = self.sets.train.facts["max_output_tokens"]
            stop = self._stop_token_ids(tokenizer)
            try_saving(base, tokenizer, stop, limit, self.paths.output)

    def _stop_token_ids(self, tokenizer: Any) -> list[int]:
        return self.sets.train.facts.get("stop_token_ids") or [tokenizer.eos_token_id]

    def _say_decisions(self, settings: RunSettings, trainer: LabelOnlyTrainer) -> None:
        asked, budget = self.arguments, settings.budget
        trained = sum(p.numel() for p in trainer.model.parameters() if p.requires_grad)
        logger.info(
            "Tuning %s (%s, %s trained parameters) on %s in %s.",
            asked.model_reference,
            asked.tuning,
            f"{trained:,}",
            trainer.args.device,
            "bf16" if settings.bf16 else "fp32",
        )
        logger.info(
            "%d steps of %d examples = %.2f epochs of %d; %d tokens in a forward pass at most, "
            "%d in evaluations%s; checkpoints every %d steps.",
            asked.train_steps,
            asked.batch_size,
            asked.train_steps * asked.batch_size / self.sets.train.examples,
            self.sets.train.examples,
            budget.training,
            budget.evaluation,
            budget.recomputation,
            asked.steps_between_checkpoints,
        )
        if asked.enable_checkpoint_selection and not len(self.sets.evaluation):
            logger.warning("No evaluation set: the last step is exported, none is selected.")

    def _select(self, trainer: LabelOnlyTrainer) -> int:
        """Loads the best step's weights where they are wanted; returns the step to export."""
        last: int = trainer.state.global_step
        wanted = trainer.run_state.best
        if not self.arguments.enable_checkpoint_selection or wanted.step in (0, last):
            return last
        best = on_all(self.checkpoints, wanted.step)
        if best is None:
            logger.warning("The checkpoint of the best step %d is lost.", wanted.step)
            return last
        logger.info("Selected step %d: %.4f correct.", best.step, wanted.value)
        trainer.load_weights(best.path)
        return best.step

    def _export(
        self, trainer: LabelOnlyTrainer, tokenizer: Any, base: TrainableModel, facts: dict[str, Any]
    ) -> None:
        model = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
        stop = self._stop_token_ids(tokenizer)
        from_files = base.folder if base.is_placed else None
        tuned = TunedModel(model, tokenizer, base.dtype, stop, facts, from_files)
        kept = (
            f"Nothing of the training is lost: its end is kept in {self.checkpoints.path}, and the "
            "same command, run again, saves the model without training."
        )
        try:
            export_model(tuned, self.paths.output, writes=processes.is_main())
        except OSError as error:
            what = f"cannot save the model: {error.strerror or error}."
            raise UserError(Problem(what, str(self.paths.output), fix=kept)) from error
        except Exception:
            logger.error("The model could not be saved. %s", kept)
            raise


def _train(trainer: LabelOnlyTrainer, newest: Checkpoint | None, reporter: Reporter) -> None:
    if newest is None:
        trainer.run(None)
        return
    trainer.restore(newest.path)
    if not trainer.run_state.finished:
        logger.info("Going on from step %d.", newest.step)
        trainer.run(newest.path)
        return
    logger.info("Step %d is the end of this run: saving its model again.", newest.step)
    trainer.load_finished(newest.path)
    reporter.rewrite(trainer.state.log_history)
