"""One tuning run from encoded data to a saved model; the command and the component call it."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import json
import logging
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from kfp_llm_tuning.components.common.errors import Problem, RunAgain, UserError
from kfp_llm_tuning.components.tuning import base_models, memory
from kfp_llm_tuning.components.tuning.arguments import TuningArguments
from kfp_llm_tuning.components.tuning.batching import EncodedSet
from kfp_llm_tuning.components.tuning.checkpoints import Checkpoint, CheckpointDirectory
from kfp_llm_tuning.components.tuning.export import TunedModel, export_model
from kfp_llm_tuning.components.tuning.interruption import Interruption
from kfp_llm_tuning.components.tuning.model_references import ModelReference, resolve
from kfp_llm_tuning.components.tuning.progress import Progress, format_seconds
from kfp_llm_tuning.components.tuning.tensorboard_metrics import MetricsWriter
from kfp_llm_tuning.components.tuning.trainer import LabelOnlyTrainer, RunSettings

logger = logging.getLogger(__name__)

_PACKAGES = ("kfp-llm-tuning", "torch", "transformers", "peft", "accelerate", "datasets")
_CPU = torch.device("cpu")
# Of the arguments, these change no number of the result.
_WITHOUT_EFFECT = ("display_name",)


@dataclass(frozen=True)
class TuningPaths:
    """Where a run reads and writes.

    Attributes:
        train_dataset: Output folder of dataset-encoder.
        evaluation_dataset: Output folder of evaluation-dataset-encoder; its set may be empty.
        output: Where the saved model goes.
        metrics: Where event files and history.jsonl go.
        checkpoints: Where checkpoints are kept; the same folder resumes the run.
    """

    train_dataset: Path
    evaluation_dataset: Path | None
    output: Path
    metrics: Path
    checkpoints: Path


def tune(arguments: TuningArguments, paths: TuningPaths) -> dict[str, Any]:
    """Tunes a model, or goes on where an interrupted run stopped, and saves it.

    Args:
        arguments: What to do.
        paths: Where to read and write.

    Returns:
        The content of the saved model's tuning.json.

    Raises:
        UserError: For a mistake in arguments or data, or a loss that is not finite.
        RunAgain: If interrupted, after a checkpoint was saved.
    """
    interruption = Interruption()
    with interruption.watching():
        train_set, evaluation_set = _open_sets(arguments, paths)
        reference = resolve(arguments.model_reference)
        checkpoints = CheckpointDirectory(paths.checkpoints)
        fingerprint = _fingerprint(arguments, reference, train_set, evaluation_set)
        claim = checkpoints.claimed(fingerprint) if _is_main() else contextlib.nullcontext()
        with claim:
            return _tune_claimed(
                arguments, paths, reference, train_set, evaluation_set, checkpoints, interruption
            )


def _tune_claimed(
    arguments: TuningArguments,
    paths: TuningPaths,
    reference: ModelReference,
    train_set: EncodedSet,
    evaluation_set: EncodedSet,
    checkpoints: CheckpointDirectory,
    interruption: Interruption,
) -> dict[str, Any]:
    torch.manual_seed(arguments.seed)
    folder = base_models.materialise(reference)
    base = _load_base(folder, arguments)
    _check_tokens(base.model, train_set, evaluation_set)
    settings = _settings(arguments, base, train_set, evaluation_set, checkpoints)
    if not _is_main():
        logging.getLogger("kfp_llm_tuning").setLevel(logging.WARNING)
    reporter = _Reporter(paths.metrics, arguments.train_steps)
    trainer = LabelOnlyTrainer(
        base.model, settings, train_set, evaluation_set, interruption, [reporter]
    )
    _say_decisions(arguments, settings, train_set, trainer)
    try:
        _train(trainer, checkpoints.newest(), reporter)
    finally:
        reporter.close()
    if not trainer.finished:
        raise RunAgain(
            f"{interruption.reason}; step {trainer.state.global_step} of {arguments.train_steps} "
            f"is saved in {checkpoints.path}."
        )
    best_step = _select(trainer, arguments, checkpoints)
    provenance = _provenance(arguments, reference, folder, base, settings, trainer, best_step)
    provenance["dataset"] = train_set.facts
    provenance["evaluation_dataset"] = evaluation_set.facts
    for name in ("prompt_format", "max_input_tokens", "max_output_tokens"):
        provenance[name] = train_set.facts[name]
    if _is_main():
        _export(trainer, folder, base, provenance, paths.output)
    trainer.accelerator.wait_for_everyone()
    logger.info(
        "Done: %d steps in %s; model in %s.",
        trainer.state.global_step,
        format_seconds(trainer.seconds),
        paths.output,
    )
    return provenance


def _open_sets(arguments: TuningArguments, paths: TuningPaths) -> tuple[EncodedSet, EncodedSet]:
    train_set = EncodedSet(paths.train_dataset)
    if not len(train_set):
        raise UserError(Problem("has no examples.", "train_dataset", "at least one example"))
    evaluation_set = EncodedSet(paths.evaluation_dataset)
    problems = []
    if arguments.enable_early_stopping and not len(evaluation_set):
        problems.append(
            Problem(
                "needs an evaluation set.",
                "enable_early_stopping",
                fix="Give evaluation_data_uri, or turn it off.",
            )
        )
    if int(os.environ.get("WORLD_SIZE", 1)) > arguments.batch_size:
        problems.append(
            Problem(
                f"{arguments.batch_size} is less than the number of processes.",
                "batch_size",
                f"at least {os.environ['WORLD_SIZE']}",
            )
        )
    if problems:
        raise UserError(*problems)
    return train_set, evaluation_set


@dataclass(frozen=True)
class _Base:
    """The model to train, and what must be known of its checkpoint."""

    model: Any
    dtype: torch.dtype
    bf16: bool


def has_fast_bf16() -> bool:
    """Tells whether this machine computes in bfloat16 faster than in float32."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _load_base(folder: Path, arguments: TuningArguments) -> _Base:
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    bf16 = has_fast_bf16() if arguments.precision == "auto" else arguments.precision == "bf16"
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    own = config.dtype or torch.float32
    # Trained weights need float32 to take up small updates; frozen ones may stay short.
    short = arguments.tuning == "adapter" and bf16 and own != torch.float32
    model = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=torch.bfloat16 if short else torch.float32,
        use_safetensors=True,
        trust_remote_code=False,
    )
    if arguments.tuning == "adapter":
        model = _with_adapter(model, arguments)
    return _Base(model, own, bf16)


def _with_adapter(model: Any, arguments: TuningArguments) -> Any:
    from peft import LoraConfig, get_peft_model

    names = arguments.lora_target_modules
    targets = names if names == "all-linear" else [name.strip() for name in names.split(",")]
    config = LoraConfig(
        r=arguments.lora_rank,
        lora_alpha=arguments.lora_alpha,
        lora_dropout=arguments.lora_dropout,
        target_modules=targets,
        task_type="CAUSAL_LM",
    )
    try:
        with warnings.catch_warnings():  # peft still uses transformers' former names.
            warnings.simplefilter("ignore", FutureWarning)
            return get_peft_model(model, config)
    except ValueError as error:
        raise UserError(
            Problem(str(error), "lora_target_modules", "all-linear, or names of linear modules")
        ) from error


def _check_tokens(model: Any, *sets: EncodedSet) -> None:
    vocabulary = model.get_input_embeddings().num_embeddings
    largest = max(encoded.largest_token for encoded in sets)
    if largest >= vocabulary:
        raise UserError(
            Problem(
                f"token {largest} is beyond the model's vocabulary of {vocabulary}.",
                "train_dataset",
                fix="Encode the data with the tokenizer of the model that is tuned.",
            )
        )
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    longest = max(int(encoded.lengths.max(initial=0)) for encoded in sets)
    if positions and longest > positions:
        logger.warning(
            "The longest example has %d tokens, the model was made for %d.", longest, positions
        )


def _settings(
    arguments: TuningArguments,
    base: _Base,
    train_set: EncodedSet,
    evaluation_set: EncodedSet,
    checkpoints: CheckpointDirectory,
) -> RunSettings:
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if cuda else _CPU
    processes = int(os.environ.get("WORLD_SIZE", 1))
    most = -(-arguments.batch_size // processes)
    micro, checkpointing = min(arguments.micro_batch_size, most), False
    if not micro:
        micro, checkpointing = _fitting(base, device, train_set, evaluation_set, most)
    return RunSettings(
        arguments=arguments,
        checkpoints=checkpoints,
        bf16=base.bf16,
        micro_batch_size=micro,
        gradient_checkpointing=checkpointing,
        use_cpu=not cuda,
    )


def _fitting(
    base: _Base, device: torch.device, train_set: EncodedSet, evaluation_set: EncodedSet, most: int
) -> tuple[int, bool]:
    """Finds the micro batch, and whether layers must be recomputed for it (GPU only)."""
    base.model.to(device)
    size = 2 if base.bf16 else 4
    length = int(max(train_set.lengths.max(), evaluation_set.lengths.max(initial=0)))
    fits = memory.fitting_examples(
        base.model, device, length=length, most=most, bytes_per_value=size
    )
    if fits or device.type == "cpu":
        return max(fits, 1), False
    fits = memory.fitting_examples(
        base.model, device, length=length, most=most, bytes_per_value=size, checkpointing=True
    )
    return max(fits, 1), True


def _say_decisions(
    arguments: TuningArguments,
    settings: RunSettings,
    train_set: EncodedSet,
    trainer: LabelOnlyTrainer,
) -> None:
    share = -(-arguments.batch_size // trainer.args.world_size)
    trained = sum(p.numel() for p in trainer.model.parameters() if p.requires_grad)
    epochs = arguments.train_steps * arguments.batch_size / len(train_set)
    logger.info(
        "Tuning %s (%s, %s trained parameters) on %s in %s.",
        arguments.model_reference,
        arguments.tuning,
        f"{trained:,}",
        trainer.args.device,
        "bf16" if settings.bf16 else "fp32",
    )
    logger.info(
        "%d steps of %d examples = %.2f epochs of %d; %d forward passes a step of at most %d "
        "examples%s; checkpoints every %d steps.",
        arguments.train_steps,
        arguments.batch_size,
        epochs,
        len(train_set),
        -(-share // settings.micro_batch_size),
        settings.micro_batch_size,
        ", layers recomputed" if settings.gradient_checkpointing else "",
        arguments.steps_between_checkpoints,
    )
    if arguments.enable_checkpoint_selection and trainer.eval_dataset is None:
        logger.warning("No evaluation set: the last step is exported, none is selected.")


def _train(trainer: LabelOnlyTrainer, newest: Checkpoint | None, reporter: _Reporter) -> None:
    if newest is None:
        trainer.run(None)
        return
    trainer.restore(newest.path)
    if not trainer.finished:
        logger.info("Going on from step %d.", newest.step)
        trainer.run(newest.path)
        return
    logger.info("Step %d is the end of this run: saving its model again.", newest.step)
    trainer.load_finished(newest.path)
    reporter.rewrite(trainer.state.log_history)


def _select(
    trainer: LabelOnlyTrainer, arguments: TuningArguments, checkpoints: CheckpointDirectory
) -> int:
    """Loads the best step's weights where they are wanted; returns the step that is exported."""
    last: int = trainer.state.global_step
    if not arguments.enable_checkpoint_selection or trainer.best.step in (0, last):
        return last
    best = checkpoints.at(trainer.best.step)
    if best is None:
        logger.warning("The checkpoint of the best step %d is lost.", trainer.best.step)
        return last
    logger.info("Selected step %d: %.4f correct.", best.step, trainer.best.value)
    trainer.load_weights(best.path)
    return best.step


def _provenance(
    arguments: TuningArguments,
    reference: ModelReference,
    folder: Path,
    base: _Base,
    settings: RunSettings,
    trainer: LabelOnlyTrainer,
    best_step: int,
) -> dict[str, Any]:
    return {
        "display_name": arguments.display_name or arguments.model_reference,
        "model_reference": arguments.model_reference,
        "checkpoint": reference.checkpoint,
        "revision": base_models.resolved_revision(reference, folder),
        "substitute_for": reference.substitute_for,
        "license": reference.license,
        "parameters": dataclasses.asdict(arguments),
        "versions": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "metrics": _metrics_at(trainer.state.log_history, best_step),
        "steps": trainer.state.global_step,
        "best_step": best_step,
        "seconds": round(trainer.seconds, 3),
        "peak_memory_bytes": memory.peak_bytes(trainer.args.device),
        "device": _device_name(trainer.args.device),
        "precision": "bf16" if settings.bf16 else "fp32",
        "dtype": str(base.dtype).removeprefix("torch."),
    }


def _metrics_at(history: list[dict[str, Any]], step: int) -> dict[str, float]:
    """The last values of every tag up to a step."""
    values: dict[str, float] = {}
    for entry in history:
        if entry["step"] <= step:
            values |= {tag: value for tag, value in entry.items() if tag.startswith("/")}
    return values


def _export(
    trainer: LabelOnlyTrainer, folder: Path, base: _Base, provenance: dict[str, Any], output: Path
) -> None:
    tokenizer = base_models.load_tokenizer(folder)
    stop = provenance["dataset"].get("stop_token_ids") or [tokenizer.eos_token_id]
    model = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
    export_model(TunedModel(model, tokenizer, base.dtype, stop, provenance), output)


def _fingerprint(
    arguments: TuningArguments,
    reference: ModelReference,
    train_set: EncodedSet,
    evaluation_set: EncodedSet,
) -> str:
    facts = {
        "arguments": {
            name: value
            for name, value in dataclasses.asdict(arguments).items()
            if name not in _WITHOUT_EFFECT
        },
        "checkpoint": reference.checkpoint_at_revision,
        "train": train_set.facts.get("content_hash"),
        "evaluation": evaluation_set.facts.get("content_hash"),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)} x {os.environ.get('WORLD_SIZE', 1)}"
    return f"CPU, {torch.get_num_threads()} threads"


def _is_main() -> bool:
    return int(os.environ.get("RANK", 0)) == 0


class _Reporter(TrainerCallback):
    """Passes the trainer's log history on to a person and to files; main process only."""

    def __init__(self, metrics: Path, steps: int) -> None:
        self._metrics = metrics
        self._progress = Progress(steps)
        self._writer: MetricsWriter | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            self._writer = MetricsWriter(self._metrics, state.log_history)
            self._progress.begin(state.global_step)

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any
    ) -> None:
        if self._writer is not None and logs is not None:
            self._writer.write(logs)
            self._progress.show(logs)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.close()

    def rewrite(self, history: list[dict[str, Any]]) -> None:
        """Writes the files of a run that had finished before."""
        if _is_main():
            MetricsWriter(self._metrics, history).close()

    def close(self) -> None:
        """Closes files and display."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
            self._progress.end()
