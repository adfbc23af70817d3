"""A conversation in one pass: tokens, seconds and loss of a run, against one pass an answer.

Both tune byte-tiny on the same dialogues, in the same number of steps of the same batch of answers,
and are evaluated on the same further dialogues, one after the other in processes of their own. The
peer reads every answer with its whole history, as trainers do with pairs of prompt and completion.

    python benchmarks/conversations.py ../shared/data/sgd/train_full_dialogues.jsonl --steps 100
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from common import record

from kfp_llm_tuning.components.data.artifacts import RECORDS_FILE, read_encoding, read_records
from kfp_llm_tuning.components.dataset.encode import Limits, encode_dataset
from kfp_llm_tuning.components.dataset.preprocess import Source, preprocess_dataset
from kfp_llm_tuning.components.models import byte_tiny
from kfp_llm_tuning.components.tuning.arguments import TuningArguments

_LIMITS = Limits(max_input_tokens=8192, max_output_tokens=1024)
_BATCH = 8


class _Result(NamedTuple):
    seconds: float
    loss: float


def _encode(rows: list[str], folder: Path) -> None:
    """Encodes dialogues as the pipeline does."""
    folder.mkdir()
    (folder / "rows.jsonl").write_text("".join(rows), encoding="utf-8")
    source = Source(str(folder / "rows.jsonl"), "byte-tiny")
    tokenizer = byte_tiny.build_tokenizer()
    preprocess_dataset(source, tokenizer, folder / "records")
    encode_dataset(folder / "records", tokenizer, _LIMITS, folder / "encoded")


def _encode_apart(joined: Path, folder: Path) -> None:
    """Encodes the same records, each as if it stood in a line of its own."""
    shutil.copytree(joined / "records", folder / "records")
    encode = msgspec.json.Encoder().encode
    with (folder / "records" / RECORDS_FILE).open("wb") as stream:
        for number, one in enumerate(read_records(joined / "records"), start=1):
            stream.write(encode(msgspec.structs.replace(one, line=number, turn=0)) + b"\n")
    encode_dataset(folder / "records", byte_tiny.build_tokenizer(), _LIMITS, folder / "encoded")


def _tune(train: Path, evaluation: Path, steps: int) -> _Result:
    """Tunes in a process of its own, with the tuner's command."""
    arguments = TuningArguments(
        "byte-tiny",
        train_steps=steps,
        batch_size=_BATCH,
        tuning="full",
        learning_rate=1e-3,
        checkpoint_interval=steps,
        evaluation_interval=steps,
        enable_early_stopping=False,
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        places = {"train-dataset": train / "encoded", "evaluation-dataset": evaluation / "encoded"}
        places |= {part: folder / part for part in ("output", "metrics", "checkpoints")}
        command = [sys.executable, "-m", "kfp_llm_tuning.components.tuning", "--payload"]
        options = [word for part, path in places.items() for word in (f"--{part}", str(path))]
        subprocess.run([*command, arguments.to_json(), *options], check=True, capture_output=True)
        facts: dict[str, Any] = json.loads((folder / "output" / "tuning.json").read_text("utf-8"))
    return _Result(facts["seconds"], facts["metrics"]["/eval_total_loss"])


def main() -> None:
    """Prints tokens, seconds and loss of both; a row each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dialogues", type=Path)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--evaluated", type=int, default=16, help="Dialogues to evaluate on.")
    options = parser.parse_args()
    rows = options.dialogues.read_text(encoding="utf-8").splitlines(keepends=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _encode(rows[: -options.evaluated], folder / "joined")
        _encode(rows[-options.evaluated :], folder / "evaluation")
        _encode_apart(folder / "joined", folder / "apart")
        joined = read_encoding(folder / "joined" / "encoded")
        apart = read_encoding(folder / "apart" / "encoded")
        ours = _tune(folder / "joined", folder / "evaluation", options.steps)
        peer = _tune(folder / "apart", folder / "evaluation", options.steps)
    note = (
        f"byte-tiny, {joined.examples} answers of {joined.sequences} dialogues, {options.steps} "
        f"steps of {_BATCH}; peer one pass an answer"
    )
    record("dialogues, tokens of an epoch", joined.tokens, apart.tokens, None, "tokens", note)
    record("dialogues, seconds of a run", ours.seconds, peer.seconds, None, "s", note)
    record("dialogues, loss on others", ours.loss, peer.loss, None, "nats", note)


if __name__ == "__main__":
    main()
