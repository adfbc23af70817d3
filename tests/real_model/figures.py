"""Adds to benchmarks/results.md what the runs of the last `make test-real-model` reached.

Usage: ``python -m tests.real_model.figures``.
"""

from __future__ import annotations

from benchmarks.common import record
from tests.real_model.runs import RUNS, TASKS, RealRun, find


def main() -> None:
    """Records a row a task: ours is the tuned model, the peer its base, the limit a trivial one."""
    for task in TASKS:
        _record(find(task, RUNS / task.name))


def _record(run: RealRun) -> None:
    primary, facts, seconds = run.evaluation["primary"], run.provenance, run.seconds
    metrics = run.evaluation["metrics"]
    baselines = {baseline["title"]: baseline["value"] for baseline in primary["baselines"]}
    best = max(baselines, key=lambda title: baselines[title] or 0.0, default=None)
    predicting = seconds["batch-predict"] + seconds["batch-predict-2"]
    record(
        f"SmolLM2-135M-Instruct tuned: {run.task.name}",
        ours=primary["tuned"],
        peer=primary["base"],
        limit=baselines[best] if best else None,
        unit=primary["title"],
        note=(
            f"{run.evaluation['examples']} answers; peer the base, limit what it must beat: "
            f"{best or 'none'}; loss {metrics['loss']['base']:.3f} -> "
            f"{metrics['loss']['tuned']:.3f}; {facts['steps']} steps of "
            f"{facts['parameters']['batch_size']} at {facts['parameters']['learning_rate']:g}, "
            f"{facts['precision']}, in {facts['seconds']:.0f} s with at most "
            f"{facts['peak_memory_bytes'] / 2**30:.1f} GiB; both models answered in "
            f"{predicting:.0f} s; whole run {sum(seconds.values()):.0f} s; {facts['device']}"
        ),
    )


if __name__ == "__main__":
    main()
