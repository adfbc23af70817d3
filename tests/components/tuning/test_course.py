from __future__ import annotations

from pathlib import Path

from kfp_llm_tuning.components.tuning.arguments import TuningArguments
from kfp_llm_tuning.components.tuning.checkpoints import CheckpointDirectory
from kfp_llm_tuning.components.tuning.course import Course, evaluation_values


def course(folder: Path, **changes: object) -> Course:
    arguments = TuningArguments.from_values({"model_reference": "m"} | changes)
    return Course(arguments, CheckpointDirectory(folder), bf16=False)


def test_an_entry_is_a_mean_over_labels_and_the_clock_stands_in_pauses(tmp_path: Path) -> None:
    run = course(tmp_path)
    run.begin()
    run.count(100)
    values = run.training_values([8.0, 1.0, 4.0], 0.5, 7)
    assert values["/train_total_loss"] == 2
    assert values["/train_fraction_of_correct_next_step_preds"] == 0.25
    assert values["/train_num_predictions"] == 4
    assert (values["learning_rate"], values["memory_bytes"]) == (0.5, 7)
    assert values["tokens_per_second"] > 0
    with run.pause():
        pass
    assert run.training_values([1.0, 1.0, 1.0], 0.5, 7)["tokens_per_second"] == 0
    assert evaluation_values([8.0, 1.0, 4.0])["/eval_total_loss"] == 2


def test_the_best_step_is_saved_and_no_rise_ends_the_run(tmp_path: Path) -> None:
    asked = {"enable_checkpoint_selection": True, "early_stopping_patience": 2}
    run = course(tmp_path, enable_early_stopping=True, early_stopping_tolerance=0.0, **asked)
    told = [run.judge(step, value) for step, value in enumerate((0.5, 0.6, 0.6, 0.4), start=1)]
    assert [one.save for one in told] == [True, True, False, True]
    assert [one.stop for one in told] == [False, False, False, True]
    assert run.kept_step == 2
    assert course(tmp_path, enable_checkpoint_selection=False).kept_step == 0


def test_what_a_checkpoint_remembers_is_taken_over(tmp_path: Path) -> None:
    run = course(tmp_path)
    run.judge(3, 0.5)
    run.end()
    run.state_now().save(tmp_path, [1.0, 2.0, 3.0])
    other = course(tmp_path)
    assert other.restore(tmp_path) == [1.0, 2.0, 3.0]
    assert other.run_state.best == run.run_state.best
    assert other.run_state.seconds >= run.run_state.seconds
    assert "less than" in str(other.divergence(float("nan"), 4))
