"""ROUGE-1, -2 and -L of many pairs of texts against rouge-score, in one run."""

from __future__ import annotations

import argparse
import random
import time

from common import record
from rouge_score.rouge_scorer import RougeScorer

from kfp_llm_tuning.components.evaluation.text_metrics import rouge

_NAMES = ("rouge1", "rouge2", "rougeL")


def main() -> None:
    """Runs the benchmark, checks that the values are equal, and records the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=10_000)
    parser.add_argument("--words", type=int, default=25, help="mean words of a text")
    options = parser.parse_args()
    generator = random.Random(0)
    vocabulary = [f"word{number}" for number in range(400)]
    texts = [
        " ".join(generator.choices(vocabulary, k=generator.randint(1, 2 * options.words)))
        for _ in range(2 * options.pairs)
    ]
    pairs = list(zip(texts[: options.pairs], texts[options.pairs :], strict=True))

    start = time.perf_counter()
    ours = [rouge(*pair) for pair in pairs]
    ours_seconds = time.perf_counter() - start

    scorer = RougeScorer(list(_NAMES))
    start = time.perf_counter()
    peers = [scorer.score(*pair) for pair in pairs]
    peer_seconds = time.perf_counter() - start

    differences = (
        abs(mine[name] - theirs[name].fmeasure)
        for mine, theirs in zip(ours, peers, strict=True)
        for name in _NAMES
    )
    largest = max(differences)
    assert largest < 1e-12
    record(
        "ROUGE-1/2/L",
        ours=options.pairs / ours_seconds,
        peer=options.pairs / peer_seconds,
        limit=None,
        unit="pairs/s",
        note=(
            f"{options.pairs:,} pairs, {options.words} words a text; ours {ours_seconds:.2f} s, "
            f"rouge-score {peer_seconds:.2f} s: {peer_seconds / ours_seconds:.1f} times as fast; "
            f"largest difference {largest:.1e}"
        ),
    )


if __name__ == "__main__":
    main()
