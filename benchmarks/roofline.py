"""Predicts the tuner's speed on one H200 from the operations of its own steps; needs no GPU.

A step of the tuner is run on a model without weights, and every operation is counted as long as
its arithmetic or its memory traffic takes (`counted_operations.py` names the rates that are
assumed). Each case is predicted in three ways: with every answer a row of its own, padded, as many
at once as the longest row of the set lets fit ("before"); with a conversation in one pass, laid end
to end, as many tokens at once as fit ("now"); and the same with norms, rotary positions and gates
fused and adapters computed in bf16 ("fused"), as `components/tuning/fast_path` tries to.

Tokens are those of the texts, each counted once, though before many were read several times. The
share is that of 989 TFLOP/s, counted as published figures are. Texts of one length are 2,048 tokens
long, a quarter of them learned. "with a 9k row" is a set with one row of 9,216 tokens among others:
counted are the steps without it. Before, it let fewer rows of every step be taken at once; now it
costs the others nothing where it fits without recomputed layers, which the budget decides.

    python benchmarks/roofline.py --data ../shared/data [--tokenizer MODEL_FOLDER] [--batch 64]

One minute; four with steps of 64 answers. Without a tokenizer a token is a byte, which makes texts
about four times as long.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from common import record
from counted_operations import H200, Gpu
from counted_steps import StepCount, Way, count_step, token_budget
from datasets import disable_progress_bars
from encoded_examples import write_sequences
from model_shapes import make_config, operations_of_a_token
from real_lengths import LONGEST, apart, encode, of_one_length, steps
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from kfp_llm_tuning.components.data.encoded_set import EncodedSet
from kfp_llm_tuning.components.data.token_layouts import EndToEnd
from kfp_llm_tuning.components.data.token_sequence import TokenSequence
from kfp_llm_tuning.components.models import byte_tiny
from kfp_llm_tuning.components.tuning.torch_engine.memory import TokenBudget

REAL = {
    "clinc150": "clinc150/train.jsonl",
    "gsm8k": "gsm8k/eval.jsonl",
    "sgd": "sgd/train_full_dialogues.jsonl",
}
FIXED = "one length"
LONG_ROW = "sgd with a 9k row"
_NO_LIMIT = 2**62
# Of a case: steps differ little, as their rows are of like length.
_STEPS = 2
# Of the formula by which micro batches were sized: the share of the memory that was used, and the
# values that a token was taken to keep in a layer, in hidden and in feed-forward sizes.
_USABLE_SHARE, _HIDDEN_VALUES, _FEED_FORWARD_VALUES = 0.8, 16, 4


@dataclass(frozen=True)
class Mix:
    """Texts that are trained on.

    Attributes:
        title: Names them.
        dataset: As they are read now.
        answers_apart: The same with every answer apart.
        longest: Tokens of the longest row that the set has besides.
    """

    title: str
    dataset: EncodedSet
    answers_apart: EncodedSet
    longest: int = 0

    @property
    def tokens_an_answer(self) -> float:
        """Tokens of the texts for each answer."""
        return float(self.dataset.lengths.sum()) / self.dataset.examples

    @property
    def length(self) -> float:
        """Tokens of a text on average."""
        return float(self.dataset.lengths.mean())


@dataclass(frozen=True)
class Case:
    """A model that is tuned, and steps of so many answers."""

    shape: str
    tuning: str
    batch: int


@dataclass(frozen=True)
class Prediction:
    """What is foretold of a case.

    Attributes:
        seconds: Of a step.
        tokens: Tokens a second, each token of the texts counted once.
        share: Of the GPU's peak.
    """

    seconds: float
    tokens: float
    share: float


class Ways(NamedTuple):
    """A case in the three ways."""

    before: Prediction
    now: Prediction
    fused: Prediction


@dataclass
class Predictor:
    """Predicts cases, and finds each token budget once."""

    gpu: Gpu
    _budgets: dict[tuple[str, str, Way, int], TokenBudget] = field(default_factory=dict)

    def before(self, case: Case, mix: Mix) -> Prediction:
        """Predicts answers apart, padded, in micro batches of so many examples."""
        longest = max(mix.longest, int(mix.answers_apart.lengths.max()))
        size = examples_at_once(case, longest, self.gpu)
        passes = [
            [step[start : start + size] for start in range(0, len(step), size)]
            for step in steps(mix.answers_apart, case.batch, _STEPS)
        ]
        return self._predict(case, mix, Way(packed=False), passes)

    def now(self, case: Case, mix: Mix, *, fused: bool) -> Prediction:
        """Predicts conversations in one pass, end to end, in passes of so many tokens."""
        way = Way(packed=True, fused=fused)
        budget = self.budget(case, mix, way)
        passes = [
            [
                [step[row] for row in rows.tolist()]
                for rows in EndToEnd().fill(
                    np.array([len(one.input_ids) for one in step]), budget.training
                )
            ]
            for step in steps(mix.dataset, case.batch, _STEPS)
        ]
        return self._predict(case, mix, way, passes, budget.recomputed_every)

    def budget(self, case: Case, mix: Mix, way: Way) -> TokenBudget:
        """Says what the tuner takes at once of a set."""
        if not fits(case, self.gpu):
            return TokenBudget(_NO_LIMIT, _NO_LIMIT)
        longest = max(mix.longest, int(mix.dataset.lengths.max()))
        key = (case.shape, case.tuning, way, longest)
        if key not in self._budgets:
            self._budgets[key] = token_budget(case.shape, case.tuning, way, longest, self.gpu)
        return self._budgets[key]

    def _predict(
        self,
        case: Case,
        mix: Mix,
        way: Way,
        counted: Sequence[Sequence[Sequence[TokenSequence]]],
        recomputed_every: int = 0,
    ) -> Prediction:
        seconds = answers = 0.0
        for passes in counted:
            step: StepCount = count_step(case.shape, case.tuning, way, passes, self.gpu)
            seconds += step.recomputing(recomputed_every).seconds(self.gpu)
            answers += sum(len(one.starts) for part in passes for one in part)
        rate = answers / seconds * mix.tokens_an_answer
        config = make_config(case.shape)
        needed = operations_of_a_token(config, case.tuning, mix.length)
        return Prediction(seconds / len(counted), rate, rate * needed / self.gpu.peak)


def examples_at_once(case: Case, longest: int, gpu: Gpu) -> int:
    """Says how many examples were taken at once, by the formula of that time.

    Args:
        case: The model.
        longest: Tokens of the longest example of a set.
        gpu: Whose memory is taken.
    """
    if not fits(case, gpu):
        return case.batch
    config = make_config(case.shape)
    hidden, feed_forward = config.hidden_size, config.intermediate_size
    layer = 2 * (_HIDDEN_VALUES * hidden + _FEED_FORWARD_VALUES * feed_forward)
    token = config.num_hidden_layers * layer + config.vocab_size * 10
    free = _USABLE_SHARE * gpu.bytes - state_bytes(case)
    return int(min(max(free // (longest * token), 1), case.batch))


def fits(case: Case, gpu: Gpu) -> bool:
    """Says whether a GPU holds a model's weights and states; else it is predicted as if it did."""
    return state_bytes(case) < _USABLE_SHARE * gpu.bytes


def state_bytes(case: Case) -> float:
    """Bytes of the weights, and in full tuning of gradients and moments in float32."""
    weights = operations_of_a_token(make_config(case.shape), "adapter", 0) / 4
    return weights * (2 if case.tuning == "adapter" else 16)


def mixes(data: Path, tokenizer: PreTrainedTokenizerBase, folder: Path) -> Iterator[Mix]:
    """Encodes all texts."""
    fixed = EncodedSet(write_sequences(folder / "fixed", of_one_length(64)))
    yield Mix(FIXED, fixed, fixed)
    for title, path in REAL.items():
        place = folder / title
        read = encode(data / path, tokenizer, place)
        alone = apart(read, place / "apart")
        yield Mix(title, read, alone)
        if LONG_ROW.startswith(title):
            yield Mix(LONG_ROW, read, alone, LONGEST)


def predict(case: Case, mixed: Sequence[Mix], predictor: Predictor) -> dict[str, Ways]:
    """Predicts a case for all texts, and records each."""
    found = {}
    for mix in mixed:
        found[mix.title] = ways = Ways(
            predictor.before(case, mix),
            predictor.now(case, mix, fused=False),
            predictor.now(case, mix, fused=True),
        )
        config = make_config(case.shape)
        operations = operations_of_a_token(config, case.tuning, mix.length)
        said = ", ".join(
            f"{title} {one.seconds * 1e3:,.0f} ms, {one.tokens:,.0f} tokens/s, {one.share:.0%}"
            for title, one in ways._asdict().items()
        )
        record(
            f"predicted for one {predictor.gpu.name}: {case.shape}, {case.tuning}, {mix.title}",
            ways.fused.tokens,
            ways.before.tokens,
            predictor.gpu.peak / operations,
            "tokens/s",
            f"nothing is measured; steps of {case.batch} answers, texts of {mix.length:.0f} tokens;"
            f" {said} of 989 TFLOP/s{_at_once(predictor, case, mix)};"
            " ours: fused, peer: before, limit: all of 989 TFLOP/s",
        )
    return found


def _at_once(predictor: Predictor, case: Case, mix: Mix) -> str:
    budget = predictor.budget(case, mix, Way(packed=True))
    if budget.training == _NO_LIMIT:
        return "; does not fit on one, as if it did"
    return f"; now {budget.training:,} tokens at once{budget.recomputation}"


def conclusions(found: Mapping[str, Ways]) -> Iterator[str]:
    """Says what long rows cost the others, and how texts of many lengths stand to those of one."""
    for way in Ways._fields:
        of = {title: getattr(ways, way) for title, ways in found.items()}
        cost = of[LONG_ROW.split()[0]].tokens / of[LONG_ROW].tokens
        shares = ", ".join(f"{of[title].share / of[FIXED].share:.2f} ({title})" for title in REAL)
        yield f"{way}: a 9k row costs the others {cost:.2f}x; share of one length's share: {shares}"


def main() -> None:
    """Predicts both shapes in both kinds of tuning."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--tokenizer", type=Path, help="folder of a model")
    parser.add_argument("--batch", type=int, default=8, help="answers of a step")
    parser.add_argument("--shapes", nargs="*", default=["1B", "8B"], choices=["1B", "8B"])
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    disable_progress_bars()
    if options.tokenizer:
        tokenizer = AutoTokenizer.from_pretrained(options.tokenizer)
    else:
        tokenizer = byte_tiny.build_tokenizer()
    with tempfile.TemporaryDirectory() as name:
        mixed = list(mixes(options.data, tokenizer, Path(name)))
        predictor = Predictor(H200)
        for shape in options.shapes:
            for tuning in ("adapter", "full"):
                case = Case(shape, tuning, options.batch)
                found = predict(case, mixed, predictor)
                if not fits(case, H200):
                    print(f"{shape} {tuning} does not fit on one {H200.name}: as if it did.")
                print("\n".join(conclusions(found)), flush=True)


if __name__ == "__main__":
    main()
