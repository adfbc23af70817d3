"""The tuner, batch prediction and the server beside 0, 1 and 2 other programs; the tuner's memory.

Each way in which OpenMP's threads may wait is run in turn on the same work: ours, which decides
while it runs; libgomp's own, which spins for milliseconds; passive, which sleeps at once; and a
single thread. A neighbour is a process that computes without a pause. The peer of a row is
libgomp's own way, which is what torch does by itself, and the limit the best of all four.

Usage: ``python benchmarks/shared_machine.py [--seconds 10] [--rounds 1] [--memory-steps 1000]
[--only tuner] [--neighbours 0]``.
Ten minutes and more, on a machine that is otherwise idle.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from common import record
from encoded_examples import write_examples
from neighbours import busy
from serving_load import measure, our_body, our_server, prompts

# 300,000 spins are what libgomp does where nothing is set; set, it is left alone by us.
POLICIES: Mapping[str, Mapping[str, str]] = {
    "ours": {},
    "libgomp's own": {"GOMP_SPINCOUNT": "300000"},
    "passive": {"OMP_WAIT_POLICY": "PASSIVE"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}
NEIGHBOURS = (0, 1, 2)
WARM_UP_SECONDS = 6.0
MEMORY_AT = (10, 160, 640, 1000)
_SET_BY_USERS = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


def main() -> None:
    """Measures all and records it, or does one piece of work for another start of this script."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each piece of work")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--memory-steps", type=int, default=1000)
    parser.add_argument(
        "--only", choices=[*WORKS, "memory"], action="append", help="leave out others"
    )
    parser.add_argument("--neighbours", type=int, choices=NEIGHBOURS, action="append")
    parser.add_argument("--work", choices=[*WORKS, "memory"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work == "memory":
        print(json.dumps(tuner_memory(options.memory_steps)))
    elif options.work:
        print(json.dumps(WORKS[options.work](options.seconds)))
    else:
        wanted = options.only or [*WORKS, "memory"]
        for work in (work for work in WORKS if work in wanted):
            for neighbours in options.neighbours or NEIGHBOURS:
                _measure_work(work, neighbours, options)
        if "memory" in wanted:
            _measure_memory(options)


# What is measured, in a process of its own


def tuner_rate(seconds: float) -> float:
    """Steps a second of the tuner: byte-tiny, batches of 8 rows of about 100 tokens."""
    from transformers import TrainerCallback

    class Stopwatch(TrainerCallback):
        """Ends training after some seconds, and counts the steps behind the warm-up."""

        def __init__(self) -> None:
            self.began = time.perf_counter()
            self.steps = 0
            self.seconds = 0.0

        def on_step_end(self, args, state, control, **_):  # type: ignore[no-untyped-def]
            passed = time.perf_counter() - self.began - WARM_UP_SECONDS
            if passed >= 0:
                self.steps, self.seconds = self.steps + 1, passed
            control.should_training_stop = passed >= seconds

    stopwatch = Stopwatch()
    _tune(stopwatch, lengths=(60, 140))
    return stopwatch.steps / stopwatch.seconds


def tuner_memory(steps: int) -> dict[int, float]:
    """Resident MiB of the tuner after some steps; rows of 20 to 320 tokens: all shapes differ."""
    import psutil
    from transformers import TrainerCallback

    seen: dict[int, float] = {}

    class Scales(TrainerCallback):
        """Weighs the process at the steps of ``MEMORY_AT``."""

        def on_step_end(self, args, state, control, **_):  # type: ignore[no-untyped-def]
            if state.global_step in (*MEMORY_AT, steps):
                seen[state.global_step] = psutil.Process().memory_info().rss / 2**20
            control.should_training_stop = state.global_step >= steps

    _tune(Scales(), lengths=(20, 320))
    return seen


def prediction_rate(seconds: float) -> float:
    """Answers a second of batch prediction, 16 tokens each."""
    from kfp_llm_tuning.components.generation.engine import GenerationRequest
    from kfp_llm_tuning.components.generation.transformers_engine import TransformersEngine
    from kfp_llm_tuning.components.models.base_models import materialise
    from kfp_llm_tuning.components.models.model_references import resolve

    engine = TransformersEngine(materialise(resolve("byte-tiny")))
    generator = np.random.default_rng(0)
    requests = [
        GenerationRequest(generator.integers(3, 250, int(length)).tolist(), 16, [2])
        for length in generator.integers(20, 400, 32)
    ]
    began, answers, passed = time.perf_counter(), 0, 0.0
    while passed < seconds:
        engine.generate(requests)
        passed = time.perf_counter() - began - WARM_UP_SECONDS
        answers += len(requests) if passed >= 0 else 0
    engine.close()
    return answers / passed


def server_rate(seconds: float) -> float:
    """Requests a second of the prediction server, 4 clients, 16 tokens each."""
    from kfp_llm_tuning.components.models.base_models import materialise
    from kfp_llm_tuning.components.models.model_references import resolve

    with our_server(materialise(resolve("byte-tiny"))) as (url, _):
        rate = measure(url, 4, prompts(24), our_body(16)).rate
        return measure(url, 4, prompts(max(int(rate * seconds), 16)), our_body(16)).rate


WORKS: Mapping[str, Callable[[float], float]] = {
    "tuner": tuner_rate,
    "batch prediction": prediction_rate,
    "prediction server": server_rate,
}
_UNITS = {"tuner": "steps/s", "batch prediction": "answers/s", "prediction server": "requests/s"}


def _tune(callback: object, lengths: tuple[int, int]) -> None:
    """Tunes until the callback says stop."""
    from datasets import disable_progress_bars

    from kfp_llm_tuning.components.common.errors import RunAgain
    from kfp_llm_tuning.components.tuning.arguments import TuningArguments
    from kfp_llm_tuning.components.tuning.places import TuningPaths
    from kfp_llm_tuning.components.tuning.tune import tune

    disable_progress_bars()
    generator = np.random.default_rng(0)
    rows = [
        generator.integers(3, 250, int(length)).tolist()
        for length in generator.integers(*lengths, 2000)
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_examples(folder / "encoded", rows, [len(row) - 6 for row in rows])
        arguments = TuningArguments(
            "byte-tiny", train_steps=100_000, tuning="full", checkpoint_interval=100_000
        )
        with contextlib.suppress(RunAgain):
            tune(
                arguments,
                TuningPaths(
                    train_dataset=folder / "encoded",
                    evaluation_dataset=None,
                    output=folder / "output",
                    metrics=folder / "metrics",
                    checkpoints=folder / "checkpoints",
                ),
                [callback],  # type: ignore[list-item]
            )


# Who measures it


def _measure_work(work: str, neighbours: int, options: argparse.Namespace) -> None:
    rates = dict.fromkeys(POLICIES, 0.0)
    for _ in range(options.rounds):
        for policy, variables in POLICIES.items():
            with busy(neighbours):
                rate = float(_run(work, options, variables))
            rates[policy] = max(rates[policy], rate)
    best = max(rates.values())
    shown = ", ".join(f"{policy} {rate:.3g}" for policy, rate in rates.items())
    record(
        f"{work} beside {neighbours} busy programs",
        ours=rates["ours"],
        peer=rates["libgomp's own"],
        limit=best,
        unit=_UNITS[work],
        note=(
            f"{shown}; best / ours = {best / rates['ours']:.2f} (goal "
            f"{1.5 if neighbours else 1.1}); byte-tiny; peer: libgomp's own waiting, limit: the "
            f"best of the four; {options.rounds} rounds of {options.seconds:g} s"
        ),
    )


def _measure_memory(options: argparse.Namespace) -> None:
    def memory(variables: Mapping[str, str]) -> dict[str, float]:
        found: dict[str, float] = _run("memory", options, variables)  # type: ignore[assignment]
        return found

    ours = memory({})
    theirs = memory({"LRU_CACHE_CAPACITY": "1024", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "1024"})
    for step in ours:
        record(
            f"tuner, memory after {step} steps",
            ours=ours[step],
            peer=theirs[step],
            limit=next(iter(ours.values())),
            unit="MiB",
            note="resident; byte-tiny, rows of 20 to 320 tokens; peer: torch's own caches of 1,024 "
            "kernels, limit: ours at the first of these steps",
        )


def _run(work: str, options: argparse.Namespace, variables: Mapping[str, str]) -> object:
    environment = {key: value for key, value in os.environ.items() if key not in _SET_BY_USERS}
    command = [sys.executable, __file__, "--work", work, "--seconds", str(options.seconds)]
    command += ["--memory-steps", str(options.memory_steps)]
    done = subprocess.run(
        command, env=environment | variables, stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
