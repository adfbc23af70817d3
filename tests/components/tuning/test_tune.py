from __future__ import annotations

import errno
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    TrainerCallback,
    get_scheduler,
)

from kfp_llm_tuning.components.common.errors import RunAgain, UserError
from kfp_llm_tuning.components.data.encoded_set import EncodedSet, SequencePart
from kfp_llm_tuning.components.data.step_sampler import StepSampler
from kfp_llm_tuning.components.models.forward_trial import plan_forward
from kfp_llm_tuning.components.models.label_only_loss import ForwardPlan
from kfp_llm_tuning.components.tuning.checkpoints import CheckpointDirectory
from kfp_llm_tuning.components.tuning.interruption import RUN_PID_VARIABLE
from kfp_llm_tuning.components.tuning.torch_engine import (
    host_copies,
    memory,
    micro_batches,
    run_settings,
)
from kfp_llm_tuning.components.tuning.torch_engine.memory import TokenBudget
from kfp_llm_tuning.components.tuning.torch_engine.micro_batches import MicroBatches
from kfp_llm_tuning.components.tuning.torch_engine.trainer import LabelOnlyTrainer
from tests.components.tuning.runs import (
    Run,
    assert_close_history,
    assert_same_result,
    start,
    wait_for,
)

TRAIN_TAGS = {
    "/train_total_loss",
    "/train_fraction_of_correct_next_step_preds",
    "/train_num_predictions",
}
EVALUATION_TAGS = {tag.replace("train", "eval") for tag in TRAIN_TAGS}

# What a run leaves


def test_the_saved_model_is_whole(whole_run: Run) -> None:
    output = whole_run.paths.output
    model = AutoModelForCausalLM.from_pretrained(output)
    tokenizer = AutoTokenizer.from_pretrained(output)
    assert model.dtype == torch.float32
    assert tokenizer.eos_token == "<eos>"
    assert model.generation_config.eos_token_id == 2
    assert model.generation_config.max_new_tokens == 16
    generated = model.generate(torch.tensor([[5, 6, 7]]))
    assert generated.shape[1] <= 3 + 16
    assert not list(output.parent.glob(".model*"))
    # A server that runs as another user reads the weights as it reads the rest.
    assert len({path.stat().st_mode for path in output.iterdir() if path.is_file()}) == 1


def test_the_provenance_says_where_the_model_comes_from(whole_run: Run) -> None:
    facts = json.loads((whole_run.paths.output / "tuning.json").read_text())
    assert facts["steps"] == facts["best_step"] == 12
    assert facts["parameters"]["batch_size"] == 6
    assert facts["dataset"]["content_hash"] == "set-40"
    assert facts["evaluation_dataset"]["examples"] == 13
    assert facts["prompt_format"] == "plain"
    assert facts["versions"]["torch"] == torch.__version__
    assert facts["metrics"].keys() == TRAIN_TAGS | EVALUATION_TAGS
    assert facts["seconds"] > 0
    assert facts["peak_memory_bytes"] > 0
    card = (whole_run.paths.output / "README.md").read_text()
    assert "set-40" in card
    assert "for 12 steps of 6 examples" in card


def test_the_history_has_the_published_tags_at_their_steps(whole_run: Run) -> None:
    train = [entry for entry in whole_run.history() if "/train_total_loss" in entry]
    evaluation = [entry for entry in whole_run.history() if "/eval_total_loss" in entry]
    assert [entry["step"] for entry in train] == [3, 6, 9, 12]
    assert [entry["step"] for entry in evaluation] == [4, 8, 12]
    assert all(entry.keys() > TRAIN_TAGS for entry in train)
    assert all(entry.keys() > EVALUATION_TAGS for entry in evaluation)
    assert train[-1]["learning_rate"] < train[0]["learning_rate"] <= 0.01


def test_steps_beyond_the_last_interval_are_logged(make_run: Callable[..., Run]) -> None:
    run = make_run(evaluation=None)
    run.tune(train_steps=3, logging_interval=2)
    assert [entry["step"] for entry in run.history() if "/train_total_loss" in entry] == [2, 3]


def test_the_last_two_checkpoints_stay(whole_run: Run) -> None:
    assert whole_run.steps_on_disk() == [10, 12]


def test_without_an_evaluation_set_only_training_is_logged(make_run: Callable[..., Run]) -> None:
    run = make_run(evaluation=None)
    facts = run.tune(train_steps=3)
    assert facts["metrics"].keys() == TRAIN_TAGS
    assert facts["evaluation_dataset"] == {"examples": 0}


# Exactness


def test_values_equal_those_of_a_naive_loop(whole_run: Run, tiny_model: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": 0.1},
        {"params": [p for p in model.parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=0.01, betas=(0.9, 0.98))
    schedule = get_scheduler("cosine", optimizer, num_warmup_steps=1, num_training_steps=12)
    dataset = EncodedSet(whole_run.paths.train_dataset)
    evaluation_set = EncodedSet(whole_run.paths.evaluation_dataset)
    logged = {(entry["step"], "/eval_total_loss" in entry): entry for entry in whole_run.history()}
    window = [0.0, 0.0, 0.0]
    for step, plan in enumerate(StepSampler(dataset, batch_size=6, steps=12, seed=0), 1):
        sums = [naive_sums(model, dataset, part) for part in plan.parts]
        count = sum(part[2] for part in sums)
        (sum(part[0] for part in sums) / count).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        window = [old + new for old, new in zip(window, totals(sums), strict=True)]
        if step % 3 == 0:
            check_values(logged[step, False], "train", window)
            window = [0.0, 0.0, 0.0]
        if step % 4 == 0:
            with torch.no_grad():
                parts = [
                    naive_sums(model, evaluation_set, SequencePart(row, 0, 1)) for row in range(13)
                ]
            check_values(logged[step, True], "eval", totals(parts))
    for name, weight in model.state_dict().items():
        if name in whole_run.weights():
            torch.testing.assert_close(whole_run.weights()[name], weight, rtol=1e-3, atol=1e-4)


def naive_sums(
    model: Any, dataset: EncodedSet, part: SequencePart
) -> tuple[torch.Tensor, int, int]:
    """One sequence by itself, all logits: summed loss, correct, count."""
    sequence = dataset.part(part)
    ids = torch.from_numpy(sequence.input_ids.astype("int64"))
    logits = model(ids[None]).logits[0, sequence.positions]
    targets = torch.from_numpy(sequence.labels.astype("int64"))
    loss = torch.nn.functional.cross_entropy(logits, targets, reduction="sum")
    return loss, int((logits.argmax(-1) == targets).sum()), len(targets)


def totals(parts: list[tuple[torch.Tensor, int, int]]) -> list[float]:
    losses, correct, counts = zip(*parts, strict=True)
    return [sum(loss.item() for loss in losses), sum(correct), sum(counts)]


def check_values(entry: dict[str, Any], kind: str, sums: list[float]) -> None:
    loss, correct, count = sums
    assert entry[f"/{kind}_num_predictions"] == count
    assert entry[f"/{kind}_total_loss"] == pytest.approx(loss / count, rel=1e-4)
    fraction = entry[f"/{kind}_fraction_of_correct_next_step_preds"]
    assert fraction == pytest.approx(correct / count, abs=1e-9)


@pytest.fixture
def packed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sequences end to end, as on a GPU."""

    def plan(model: Any, **_: Any) -> ForwardPlan:
        return plan_forward(model, packed=True)

    monkeypatch.setattr(run_settings, "plan_forward", plan)


@pytest.mark.parametrize("tokens", [1, 60])
def test_micro_batches_change_nothing(
    make_run: Callable[..., Run], whole_run: Run, tokens: int
) -> None:
    run = make_run()
    run.tune(micro_batch_tokens=tokens)
    assert_close_history(run, whole_run)


@pytest.mark.usefixtures("packed")
def test_sequences_end_to_end_change_nothing(
    make_run: Callable[..., Run], whole_run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    run = make_run()
    caplog.set_level("INFO")
    run.tune(micro_batch_tokens=60)
    assert "sequences end to end without padding" in caplog.text
    assert_close_history(run, whole_run)


@pytest.mark.parametrize("tuning", ["full", "adapter"])
def test_recomputed_layers_change_nothing(
    make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, tuning: str
) -> None:
    changes = {"tuning": tuning, "train_steps": 3, "logging_interval": 1}
    expected = make_run("expected")
    expected.tune(**changes)
    budget = TokenBudget(2048, 2048, recomputed_every=2)
    monkeypatch.setattr(memory, "fitting_budget", lambda *_, **__: budget)
    run = make_run()
    run.tune(**changes)
    assert_close_history(run, expected)


def test_a_lack_of_memory_cuts_finer_and_changes_nothing(
    make_run: Callable[..., Run],
    whole_run: Run,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    forward = MicroBatches._forward

    def limited(self: Any, model: Any, sequences: Any) -> Any:
        if len(sequences) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")
        return forward(self, model, sequences)

    monkeypatch.setattr(MicroBatches, "_forward", limited)
    run = make_run()
    run.tune()
    assert_close_history(run, whole_run)
    assert "tokens in one forward pass from here on" in caplog.text


def test_no_memory_for_one_sequence_is_a_user_error(
    make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")

    monkeypatch.setattr(MicroBatches, "_forward", fail)
    with pytest.raises(UserError, match="out of memory with .* tokens .*, a sequence each"):
        make_run().tune()


def test_two_processes_give_the_values_of_one(make_run: Callable[..., Run], whole_run: Run) -> None:
    run = make_run()
    distributed = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    completed = start(distributed + run.command()).communicate()
    assert run.paths.output.exists(), completed[0]
    assert_close_history(run, whole_run)
    assert (
        run.history()[-1]["/eval_num_predictions"]
        == EncodedSet(run.paths.evaluation_dataset).label_tokens
    )


# Resume


@pytest.mark.parametrize("layout", ["padded", "packed"])
@pytest.mark.parametrize(
    "changes", [{}, {"tuning": "adapter", "lora_dropout": 0.3, "learning_rate": 0.05}]
)
def test_stopping_after_every_step_changes_nothing(
    make_run: Callable[..., Run],
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    layout: str,
    request: pytest.FixtureRequest,
) -> None:
    if layout == "packed":
        request.getfixturevalue("packed")
    expected = make_run("expected")
    expected.tune(train_steps=7, **changes)
    run = make_run()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    monkeypatch.setenv(RUN_PID_VARIABLE, str(gone.pid))
    for step in range(1, 7):
        with pytest.raises(RunAgain, match=f"step {step} of 7 is saved"):
            run.tune(train_steps=7, **changes)
    run.tune(train_steps=7, **changes)
    assert_same_result(run, expected)


def test_training_goes_on_while_a_checkpoint_is_written(
    make_run: Callable[..., Run], whole_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = threading.Event()
    step_ends: list[int] = []

    class Passed(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            step_ends.append(state.global_step)
            if state.global_step == 3:
                passed.set()

    commit = CheckpointDirectory.commit

    def slow_commit(self: CheckpointDirectory, step: int, *, best_step: int = 0) -> None:
        assert passed.wait(60), "step 3 waits for the checkpoint of step 2"
        commit(self, step, best_step=best_step)

    monkeypatch.setattr(CheckpointDirectory, "commit", slow_commit)
    run = make_run()
    run.tune(callbacks=[Passed()])
    assert step_ends == list(range(1, 13))
    assert_same_result(run, whole_run)


@pytest.mark.parametrize("has_room", [True, False])
def test_a_checkpoint_that_cannot_be_written_ends_the_run_with_its_cause(
    make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, has_room: bool
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(CheckpointDirectory, "commit", full)
    monkeypatch.setattr(host_copies, "fits_in_host_memory", lambda _: has_room)
    run = make_run()
    with pytest.raises(OSError, match="No space left"):
        run.tune()
    assert run.steps_on_disk() == []


def test_sigterm_saves_and_asks_to_be_run_again(
    make_run: Callable[..., Run], whole_run: Run
) -> None:
    run = make_run()
    process = start(run.command(train_steps=12))
    wait_for_step(run, 3, process)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 75, output
    assert "Interrupted: received SIGTERM; step" in output
    assert not run.paths.output.exists()
    run.tune()
    assert_same_result(run, whole_run)


@pytest.mark.slow
def test_kill_9_loses_only_what_no_checkpoint_has(
    make_run: Callable[..., Run], whole_run: Run
) -> None:
    run = make_run()
    process = start(run.command())
    wait_for_step(run, 6, process)
    # It is written while training goes on.
    wait_for(run.paths.checkpoints / "step-4" / "complete.json", "", process)
    process.kill()
    process.communicate()
    assert run.steps_on_disk()[-1] >= 4
    run.tune()
    assert_same_result(run, whole_run)


def wait_for_step(run: Run, step: int, process: subprocess.Popen[str]) -> None:
    wait_for(run.paths.metrics / "history.jsonl", f'"step": {step}, ', process)


def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    make_run: Callable[..., Run], whole_run: Run
) -> None:
    run = make_run()
    run.tune()
    (run.paths.checkpoints / "step-12" / "optimizer.pt").write_bytes(b"PK half")
    run.tune()
    assert_same_result(run, whole_run)


def test_a_finished_run_is_saved_again_without_training(
    make_run: Callable[..., Run], whole_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run()
    run.tune()
    for path in [*run.paths.output.iterdir(), *run.paths.metrics.iterdir()]:
        path.unlink()
    monkeypatch.setattr(LabelOnlyTrainer, "train", lambda *_, **__: pytest.fail("trained again"))
    facts = run.tune(display_name="another name changes no number")
    assert facts["steps"] == 12
    assert facts["seconds"] > 0
    assert_same_result(run, whole_run)


def test_checkpoints_of_other_arguments_are_refused(
    make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run()
    run.tune()
    monkeypatch.setattr(LabelOnlyTrainer, "train", lambda *_, **__: pytest.fail("trained"))
    with pytest.raises(
        UserError, match=r"another run: learning_rate is 0\.5 and was [0-9.]+, seed"
    ):
        run.tune(learning_rate=0.5, seed=1)


# Selection, early stopping, mistakes


def scripted_accuracy(monkeypatch: pytest.MonkeyPatch, accuracies: dict[int, float]) -> None:
    def evaluate(self: Any) -> dict[str, float]:
        return {
            "/eval_total_loss": 1.0,
            "/eval_fraction_of_correct_next_step_preds": accuracies[self.state.global_step],
            "/eval_num_predictions": 13.0,
        }

    monkeypatch.setattr(LabelOnlyTrainer, "evaluate", evaluate)


def test_the_best_step_is_exported(
    make_run: Callable[..., Run], whole_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted_accuracy(monkeypatch, {3: 0.2, 6: 0.9, 9: 0.9, 12: 0.5})
    told: list[str] = []
    monkeypatch.setattr("transformers.trainer.logger.warning", lambda text, *_: told.append(text))
    run = make_run()
    changes = {"evaluation_interval": 3, "checkpoint_interval": 5}
    facts = run.tune(enable_checkpoint_selection=True, **changes)
    assert (facts["best_step"], facts["steps"]) == (6, 12)
    assert facts["metrics"]["/eval_fraction_of_correct_next_step_preds"] == 0.9
    assert run.steps_on_disk() == [6, 10, 12]
    # The output layer is the table of embeddings, which a checkpoint holds once.
    assert not any("missing keys" in text for text in told)
    kept = load_file(run.paths.checkpoints / "step-6" / "model.safetensors")
    for name, weight in run.weights().items():
        assert torch.equal(weight, kept[name])
    assert not torch.equal(weight, whole_run.weights()[name])


def test_early_stopping_ends_the_run_for_good(
    make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted_accuracy(monkeypatch, {step: 0.5 for step in range(1, 40)})
    run = make_run()
    changes = {"enable_early_stopping": True, "evaluation_interval": 1, "train_steps": 30}
    assert run.tune(**changes)["steps"] == 9
    monkeypatch.setattr(LabelOnlyTrainer, "train", lambda *_, **__: pytest.fail("trained again"))
    assert run.tune(**changes)["steps"] == 9


def test_a_loss_that_is_no_number_stops_with_advice(
    make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = micro_batches.label_loss
    calls = [0]

    def diverging(*arguments: Any) -> Any:
        calls[0] += 1
        loss, correct = original(*arguments)
        return (loss * float("nan") if calls[0] > 4 else loss), correct

    monkeypatch.setattr(micro_batches, "label_loss", diverging)
    run = make_run(evaluation=None)
    with pytest.raises(UserError, match="loss became nan.*step 4 is kept.*Lower learning_rate"):
        run.tune()
    assert run.steps_on_disk()[-1] == 4
    assert not run.paths.output.exists()


def test_mistakes_in_data_are_user_errors(
    make_run: Callable[..., Run], encoded: Callable[..., Path], tiny_model: Path, tmp_path: Path
) -> None:
    foreign = encoded([([5, 6, 96], 1)])
    with pytest.raises(UserError, match="beyond the model's vocabulary of 96"):
        Run(tmp_path / "a", tiny_model, foreign, None).tune()
    with pytest.raises(UserError, match="has no examples"):
        Run(tmp_path / "b", tiny_model, encoded([]), None).tune()
    with pytest.raises(UserError, match="needs an evaluation set"):
        make_run(evaluation=None).tune(enable_early_stopping=True)
    with pytest.raises(UserError, match="lora_target_modules"):
        make_run().tune(tuning="adapter", lora_target_modules="no_such_module")


# Adapters and precision


def test_an_adapter_merges_into_what_it_was(make_run: Callable[..., Run], tiny_model: Path) -> None:
    from peft import PeftModel

    run = make_run()
    run.tune(tuning="adapter", learning_rate=0.05)
    base = AutoModelForCausalLM.from_pretrained(tiny_model)
    ids = torch.tensor([[5, 6, 7, 8, 9]])
    with torch.no_grad():
        untouched = base(ids).logits
        adapted = PeftModel.from_pretrained(base, run.paths.output / "adapter")(ids).logits
        merged = AutoModelForCausalLM.from_pretrained(run.paths.output)(ids).logits
    torch.testing.assert_close(merged, adapted, rtol=1e-4, atol=1e-5)
    assert (merged - untouched).abs().max() > 1e-2
    assert "lora" in (run.paths.output / "README.md").read_text()


@pytest.mark.parametrize("tuning", ["adapter", "full"])
def test_the_base_models_type_is_kept(
    make_run: Callable[..., Run], tiny_model: Path, tmp_path: Path, tuning: str
) -> None:
    short = tmp_path / "short"
    AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.bfloat16).save_pretrained(short)
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(short)
    run = make_run()
    facts = run.tune(model_reference=str(short), tuning=tuning, precision="bf16", train_steps=9)
    assert {weight.dtype for weight in run.weights().values()} == {torch.bfloat16}
    assert facts["precision"] == "bf16"
    losses = [entry["/train_total_loss"] for entry in run.history() if entry.keys() > TRAIN_TAGS]
    assert losses[-1] < losses[0]
