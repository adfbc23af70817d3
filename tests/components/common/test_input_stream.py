"""Files that are read to their end: compressed in every way, damaged in every place."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.common.input_stream import BrokenInput, InputStream
from kfp_llm_tuning.components.common.storage import open_input

# Not compressed to nothing: a third of it stands behind the first block of every format.
CONTENT = b"".join(b"%d\n" % random.Random(number).randrange(10**12) for number in range(20_000))


def zipped(content: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rows.jsonl", content)
    return packed.getvalue()


FORMATS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda content: lzma.compress(content, lzma.FORMAT_ALONE),
    "zip": zipped,
}


def read(path: Path) -> bytes:
    with open_input(str(path), "dataset_uri") as stream:
        return stream.read()


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_compression_is_read(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"rows.jsonl.{suffix}"
    path.write_bytes(FORMATS[suffix](CONTENT))
    assert read(path) == CONTENT


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("damage", ["cut off", "flipped", "garbage", "empty"])
def test_damage_is_told_with_the_file(suffix: str, damage: str, tmp_path: Path) -> None:
    path = tmp_path / f"rows.jsonl.{suffix}"
    packed = bytearray(FORMATS[suffix](CONTENT))
    middle = len(packed) // 2
    if damage == "flipped":
        packed[middle : middle + 40] = bytes(40)
    kept = {"cut off": packed[:middle], "garbage": CONTENT, "empty": b""}
    path.write_bytes(kept.get(damage, packed))
    if (suffix, damage) == ("gz", "empty"):  # as gzip itself has it
        assert read(path) == b""
        return
    with pytest.raises(UserError, match=str(path)):
        read(path)


def test_what_could_be_read_before_the_damage_is_given() -> None:
    stream = InputStream(bz2.BZ2File(io.BytesIO(bz2.compress(CONTENT)[:-9])), "a.bz2", "bz2")
    found = b""
    with pytest.raises(BrokenInput, match="a.bz2: the bz2 file ends before its end mark"):
        while block := stream.read(1000):
            found += block
    assert found and CONTENT.startswith(found)


def test_a_storage_that_fails_is_told() -> None:
    class Failing(io.RawIOBase):
        """A connection that is lost."""

        def read(self, size: int = -1) -> bytes:
            raise ConnectionResetError(104, "Connection reset by peer")

    stream = InputStream(Failing(), "gs://b/rows.jsonl.gz", "gzip")  # type: ignore[arg-type]
    with pytest.raises(BrokenInput, match="cannot be read further .Connection.*Try again"):
        stream.read()
