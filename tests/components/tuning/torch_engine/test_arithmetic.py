"""A run computes in one arithmetic, whatever a later trial or another of its processes finds."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from kfp_llm_tuning.components.common.errors import RunAgain
from kfp_llm_tuning.components.tuning.interruption import RUN_PID_VARIABLE
from kfp_llm_tuning.components.tuning.torch_engine import arithmetic
from kfp_llm_tuning.components.tuning.torch_engine.arithmetic import computes_in_bf16
from tests.components.tuning.runs import Run, start

# What each of two processes is told, when only the second finds bfloat16 to be faster.
_OF_TWO = """
import os
from kfp_llm_tuning.components.tuning.torch_engine import arithmetic
arithmetic.has_fast_bf16 = lambda: os.environ["RANK"] == "1"
print("in bf16:", arithmetic.computes_in_bf16("auto", None))
"""


@pytest.fixture
def trial(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Says what the next trial of this machine finds."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    return lambda found: monkeypatch.setattr(arithmetic, "has_fast_bf16", lambda: found)


def test_what_is_asked_for_needs_no_trial(trial: Callable[[bool], None]) -> None:
    trial(False)
    assert computes_in_bf16("bf16", None)
    assert not computes_in_bf16("fp32", None)
    assert not computes_in_bf16("auto", None)


def test_a_resumed_run_computes_as_it_began(
    make_run: Callable[..., Run], trial: Callable[[bool], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with monkeypatch.context() as patch:
        patch.setenv(RUN_PID_VARIABLE, str(gone.pid))
        for found in (True, False):
            trial(found)
            with pytest.raises(RunAgain):
                run.tune(train_steps=3, precision="auto")
    assert run.tune(train_steps=3, precision="auto")["precision"] == "bf16"
    for file in run.paths.checkpoints.glob("step-*/tuner_state.json"):
        assert json.loads(file.read_text())["bf16"] is True


@pytest.mark.slow
def test_several_processes_compute_as_the_first_one_found(tmp_path: Path) -> None:
    (tmp_path / "each.py").write_text(_OF_TWO)
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    process = start([*command, str(tmp_path / "each.py")])
    output = process.communicate(timeout=120)[0]
    assert (output.count("in bf16: False"), output.count("in bf16: True")) == (2, 0), output
