"""What is damaged, cut off or hostile in a checkpoint's folder is told; nothing of it is run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.models.integrity import check_whole
from kfp_llm_tuning.components.models.tokenizer import load_tokenizer

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 269060552\n"
DAMAGED = {
    "garbage": (b"\x93\x00\xff garbage", "is no UTF-8"),
    "no JSON": (b'{"a": 1', "is no JSON"),
    "empty": (b"", "is no JSON"),
    "list": (b"[1, 2]", "is a JSON list. Allowed: an object"),
    "null": (b"null", "is a JSON null"),
    "deep": (b'{"a":' * 100_000, "is nested too deeply"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "is no UTF-8"),
    "long number": (b'{"a": ' + b"9" * 5000 + b"}", "is no JSON: Exceeds the limit"),
    "many values": (b'{"a": [' + b"[]," * 600_000 + b"[]]}", "holds about 1,200,003 values"),
    "pointer": (POINTER, "is a pointer of Git LFS, not the file. Bring the file itself"),
}
OBJECTS = ("config.json", "generation_config.json", "tokenizer_config.json")


def _told(folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        check_whole(folder)
    return str(caught.value)


def test_a_whole_checkpoint_passes(checkpoint: Path) -> None:
    check_whole(checkpoint)


@pytest.mark.parametrize("file", OBJECTS)
@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_file_is_named_with_the_reason(file: str, damage: str, checkpoint: Path) -> None:
    content, message = DAMAGED[damage]
    (checkpoint / file).write_bytes(content)
    assert f"{checkpoint}/{file}: {message}" in _told(checkpoint)


@pytest.mark.parametrize("damage", [damage for damage in DAMAGED if damage != "many values"])
def test_a_damaged_tokenizer_is_told_by_whoever_loads_it(damage: str, checkpoint: Path) -> None:
    (checkpoint / "tokenizer.json").write_bytes(DAMAGED[damage][0])
    with pytest.raises(UserError, match="model"):
        load_tokenizer(checkpoint)


def test_a_gigantic_file_is_not_read(checkpoint: Path) -> None:
    with (checkpoint / "config.json").open("wb") as sparse:
        sparse.truncate(2**40)
    assert "config.json: has 1,099,511,627,776 bytes. Allowed: at most 16,777,216" in _told(
        checkpoint
    )


def test_all_problems_are_told_at_once(checkpoint: Path) -> None:
    for file in (*OBJECTS, "model.safetensors"):
        (checkpoint / file).write_bytes(POINTER)
    assert "4 problems" in _told(checkpoint)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_hidden_layers": 10**9}, "has num_hidden_layers 1000000000. Allowed: at most 2,000"),
        ({"num_hidden_layers": 90}, "says 90 layers, and the weights have"),
        ({"num_hidden_layers": "two"}, "has num_hidden_layers 'two'. Allowed: a whole number"),
        ({"num_hidden_layers": True}, "has num_hidden_layers True"),
        ({"num_labels": 10**9}, "has num_labels 1000000000"),
        ({"hidden_size": -1}, "has hidden_size -1"),
        ({"vocab_size": 10**40}, "has vocab_size 1000000000"),
        ({"vocab_size": 300}, "says vocab_size 300, and the table of embeddings has 259 rows"),
        ({"text_config": {"vocab_size": 0}}, "has vocab_size 0"),
    ],
)
def test_sizes_are_believed_only_as_far_as_weights_bear_them_out(
    values: dict[str, object], message: str, checkpoint: Path
) -> None:
    path = checkpoint / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
    assert f"config.json: {message}" in _told(checkpoint)


_BOUNDED = """
import resource, sys
from pathlib import Path
from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.models.integrity import check_whole
began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    check_whole(Path(sys.argv[1]))
except UserError:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - began)
"""


def test_a_small_file_of_many_values_takes_little_memory(checkpoint: Path) -> None:
    (checkpoint / "config.json").write_bytes(b'{"a": [' + b"[]," * 5_000_000 + b"[]]}")
    command = [sys.executable, "-c", _BOUNDED, str(checkpoint)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    # Twice the file, in KiB; built, it would take 600 MB.
    assert int(printed) < 64 * 1024
