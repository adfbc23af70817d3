"""One tuning run from encoded data to a saved model; the command and the component call it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from kfp_llm_tuning.components.common.errors import Problem, RunAgain, UserError, raise_all
from kfp_llm_tuning.components.common.processors import prepare_to_compute
from kfp_llm_tuning.components.models import base_models
from kfp_llm_tuning.components.models.causal_model import load_config
from kfp_llm_tuning.components.models.checkpoint_files import local_files
from kfp_llm_tuning.components.models.checkpoint_problems import naming_parameter
from kfp_llm_tuning.components.models.inspection.inspect import inspect_checkpoint
from kfp_llm_tuning.components.models.model_reference import ModelReference
from kfp_llm_tuning.components.models.model_references import resolve
from kfp_llm_tuning.components.tuning import processes, provenance
from kfp_llm_tuning.components.tuning.arguments import TuningArguments
from kfp_llm_tuning.components.tuning.checkpoint_exchange import newest_of_all, on_all
from kfp_llm_tuning.components.tuning.checkpoints import Checkpoint, CheckpointDirectory
from kfp_llm_tuning.components.tuning.engine import TORCH, EngineRun, RunInputs, prepare_run
from kfp_llm_tuning.components.tuning.export import Completions, export_model
from kfp_llm_tuning.components.tuning.interruption import Interruption
from kfp_llm_tuning.components.tuning.places import TuningPaths
from kfp_llm_tuning.components.tuning.progress import format_seconds
from kfp_llm_tuning.components.tuning.reporter import Reporter
from kfp_llm_tuning.components.tuning.run_identity import identify
from kfp_llm_tuning.components.tuning.saving_trial import try_saving
from kfp_llm_tuning.components.tuning.tuning_sets import TuningSets, open_sets

logger = logging.getLogger(__name__)


def tune(
    arguments: TuningArguments,
    paths: TuningPaths,
    callbacks: Sequence[TrainerCallback] = (),
    engine: str = TORCH,
) -> dict[str, Any]:
    """Tunes a model, or goes on where an interrupted run stopped, and saves it.

    Args:
        arguments: What to do.
        paths: Where to read and write.
        callbacks: Told of checkpoints, evaluations and loggings, beside this module's own.
        engine: What computes; one of ``engine.ENGINES``.

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
            return _Run(arguments, paths, reference, sets, checkpoints, engine).carry_out(
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
    engine: str

    def carry_out(
        self, interruption: Interruption, callbacks: Sequence[TrainerCallback]
    ) -> dict[str, Any]:
        folder = base_models.materialise(self.reference)
        completions = self._inspected_base(folder)
        newest = newest_of_all(self.checkpoints)
        inputs = RunInputs(self.arguments, folder, self.sets, self.checkpoints, newest)
        reporter = Reporter(self.paths.metrics, self.arguments.train_steps)
        run = prepare_run(self.engine, inputs, interruption, [reporter, *callbacks])
        if not processes.is_main():
            logging.getLogger("kfp_llm_tuning").setLevel(logging.WARNING)
        self._say_decisions(run)
        try:
            _train(run, newest, reporter)
        finally:
            reporter.close()
        if not run.run_state.finished:
            raise RunAgain(
                f"{interruption.reason}; step {run.state.global_step} of "
                f"{self.arguments.train_steps} is saved."
            )
        facts = {
            **provenance.describe_run(self.arguments, run, self._select(run)),
            **provenance.describe_model(self.reference, folder, run.computation),
            **provenance.describe_data(self.sets),
        }
        self._export(run, completions, facts)
        run.wait_for_all()
        logger.info(
            "Done: %d steps in %s; model in %s.",
            run.state.global_step,
            format_seconds(run.run_state.seconds),
            self.paths.output,
        )
        return facts

    def _inspected_base(self, folder: Path) -> Completions:
        """Examines the base model; gives how it completes where nothing stands against tuning."""
        with naming_parameter("large_model_reference"):
            found = inspect_checkpoint(folder, self.reference.name, local_files(folder))
            raise_all(found.problems)
        self.sets.check_model(load_config(folder))
        train = self.sets.train.facts
        stop = train.get("stop_token_ids") or [found.tokenizer.eos_token_id]
        completions = Completions(folder, found.tokenizer, stop, train["max_output_tokens"])
        if processes.is_main():
            for problem in found.warnings:
                logger.warning("%s", problem)
            for problem in found.notes:
                logger.info("%s", problem)
            try_saving(completions, self.paths.output)
        return completions

    def _say_decisions(self, run: EngineRun) -> None:
        asked, computation = self.arguments, run.computation
        logger.info(
            "Tuning %s (%s, %s trained parameters) on %s in %s.",
            asked.model_reference,
            asked.tuning,
            f"{computation.trained_parameters:,}",
            computation.device,
            "bf16" if computation.bf16 else "fp32",
        )
        logger.info(
            "%d steps of %d examples = %.2f epochs of %d; %s; checkpoints every %d steps.",
            asked.train_steps,
            asked.batch_size,
            asked.train_steps * asked.batch_size / self.sets.train.examples,
            self.sets.train.examples,
            computation.limits,
            asked.steps_between_checkpoints,
        )
        if asked.enable_checkpoint_selection and not len(self.sets.evaluation):
            logger.warning("No evaluation set: the last step is exported, none is selected.")

    def _select(self, run: EngineRun) -> int:
        """Loads the best step's weights where they are wanted; returns the step to export."""
        last: int = run.state.global_step
        wanted = run.run_state.best
        if not self.arguments.enable_checkpoint_selection or wanted.step in (0, last):
            return last
        best = on_all(self.checkpoints, wanted.step)
        if best is None:
            logger.warning("The checkpoint of the best step %d is lost.", wanted.step)
            return last
        logger.info("Selected step %d: %.4f correct.", best.step, wanted.value)
        run.load_weights(best.path)
        return best.step

    def _export(self, run: EngineRun, completions: Completions, facts: dict[str, Any]) -> None:
        if not processes.is_main():
            run.write_model(None)
            return
        kept = (
            f"Nothing of the training is lost: its end is kept in {self.checkpoints.path}, and the "
            "same command, run again, saves the model without training."
        )
        try:
            export_model(run.write_model, completions, facts, self.paths.output)
        except OSError as error:
            what = f"cannot save the model: {error.strerror or error}."
            raise UserError(Problem(what, str(self.paths.output), fix=kept)) from error
        except Exception:
            logger.error("The model could not be saved. %s", kept)
            raise


def _train(run: EngineRun, newest: Checkpoint | None, reporter: Reporter) -> None:
    if newest is None:
        run.run(None)
        return
    run.restore(newest.path)
    if not run.run_state.finished:
        logger.info("Going on from step %d.", newest.step)
        run.run(newest.path)
        return
    logger.info("Step %d is the end of this run: saving its model again.", newest.step)
    run.load_finished(newest.path)
    reporter.rewrite(run.state.log_history)
