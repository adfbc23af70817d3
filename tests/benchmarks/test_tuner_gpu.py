"""The benchmark of the tuner on a GPU, as far as it goes without one."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gpu_runs
import pytest
import tuner_gpu
from gpu_runs import WARM_UP, Run, Speed, Window
from real_lengths import of_one_length

from kfp_llm_tuning.components.data.encoded_set import EncodedSet
from tests.import_graph import ROOT


def a_run(dataset: Path = Path("set")) -> Run:
    return Run(Path("model"), dataset, "adapter", batch=8, steps=900, seconds=1.0)


@pytest.mark.slow
def test_a_dry_run_goes_through_all_cases_and_records_nothing() -> None:
    results = ROOT / "benchmarks" / "results.md"
    before = results.read_bytes()
    command = [sys.executable, "benchmarks/tuner_gpu.py", "--dry-run"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = re.findall(r"^tuner on GPU, (.*?): .* \(peer [\d,]+, limit", done.stdout, re.MULTILINE)
    expected = {
        f"{shape}, {tuning}, {title}"
        for shape, tuning in tuner_gpu.CASES
        for title in ("one length", "real mix")
    }
    assert set(told) == expected
    assert "Fast path: " in done.stdout
    assert "did not run" not in done.stdout
    assert results.read_bytes() == before


def test_without_a_gpu_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["tuner_gpu.py"])
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SystemExit, match="needs a CUDA GPU"):
        tuner_gpu.main()


def test_what_is_missing_comes_from_a_folder_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr(subprocess, "run", lambda command, **_: commands.append(command))
    with pytest.raises(SystemExit, match="needs trl and liger-kernel: --wheels"):
        tuner_gpu.provide(None)
    tuner_gpu.provide(tmp_path)
    assert commands[0][1:4] == ["-m", "pip", "install"]
    assert commands[0][5:] == ["--no-index", "--find-links", str(tmp_path), "trl", "liger-kernel"]


def test_a_window_leaves_out_the_warm_up_and_stops_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [100.0]
    waits = []
    monkeypatch.setattr(gpu_runs.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(gpu_runs, "_wait_for_device", lambda: waits.append(clock[0]))
    window, control = Window(1.0), SimpleNamespace(should_training_stop=False)
    step = 0
    while not control.should_training_stop:
        step += 1
        clock[0] += 0.3
        window.tokens += 50
        window.on_step_end(None, SimpleNamespace(global_step=step, max_steps=900), control)
    assert (window.steps, window.tokens) == (4, 200)
    assert window.seconds == pytest.approx(1.2)
    # The queue is empty where the time begins and where it ends, and is not drained between.
    assert waits == pytest.approx([100 + 0.3 * WARM_UP, 100 + 0.3 * (WARM_UP + 4)])


def test_what_fails_is_told_and_not_recorded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(run: Run) -> Speed:
        raise RuntimeError("CUDA out of memory.\nTried to allocate 2 GiB")

    dataset = tuner_gpu.write_sequences(tmp_path / "set", of_one_length(2, 64))
    monkeypatch.setattr(tuner_gpu, "ours", fails)
    monkeypatch.setattr(tuner_gpu, "trl", lambda run: Speed(1000.0, 5))
    results = tmp_path / "results.md"
    tuner_gpu.measure("8B, full", "8B", a_run(dataset), 700e12, results)
    assert "8B, full: ours did not run: CUDA out of memory.\n" in capsys.readouterr().out
    assert not results.exists()


def test_shares_are_those_of_the_data_sheet_and_of_a_measured_product(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    dataset = tuner_gpu.write_sequences(tmp_path / "set", of_one_length(2, 2048))
    monkeypatch.setattr(tuner_gpu, "ours", lambda run: Speed(16_000.0, 40))
    monkeypatch.setattr(tuner_gpu, "trl", lambda run: Speed(8_000.0, 20))
    results = tmp_path / "results.md"
    tuner_gpu.measure("8B, adapter", "8B", a_run(dataset), 700e12, results)
    row = results.read_text(encoding="utf-8").splitlines()[-1]
    # 31.6 GFLOP a token: 4 for each of 7.5 billion weights, and 1.6 of attention.
    assert "506 TFLOP/s, 51.2% of 989, 72.3% of a measured product's 700" in row
    assert "253 TFLOP/s, 25.6% of 989" in row


def test_every_case_has_a_step_of_about_as_many_tokens(tmp_path: Path) -> None:
    words: Any = tuner_gpu.tokenizer_of_words(512)
    sets = tuner_gpu.write_sets(None, words, tuner_gpu.REAL_SCALE, tmp_path)
    models = {"1B": Path("1b"), "8B": Path("8b")}
    all_runs = list(tuner_gpu.runs(models, sets, tuner_gpu.REAL_SCALE, 900))
    assert len(all_runs) == 8
    for _, _, run in all_runs:
        read = EncodedSet(run.dataset)
        tokens = run.batch * read.lengths.sum() / read.examples
        assert tokens == pytest.approx(tuner_gpu.TOKENS_A_STEP, rel=0.05)
