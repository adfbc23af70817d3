"""The files of a checkpoint, wherever they are: names, sizes, and ranges of their bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

CONFIG = "config.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
TOKENIZER = "tokenizer.json"
GENERATION_CONFIG = "generation_config.json"
ADAPTER_CONFIG = "adapter_config.json"
WEIGHTS = "model.safetensors"
WEIGHT_INDEX = "model.safetensors.index.json"
# Of models that were tuned here: how.
PROVENANCE = "tuning.json"

POINTER_FIX = "Bring the file itself with: git lfs pull."
_POINTER_BEGINNING = b"version https://git-lfs.github.com/spec/"


@dataclass(frozen=True)
class CheckpointFile:
    """One file.

    Attributes:
        name: Without folders.
        size: In bytes.
        read: Reads from the first position up to the second.
    """

    name: str
    size: int
    read: Callable[[int, int], bytes]


Files = Mapping[str, CheckpointFile]


def local_files(folder: Path) -> dict[str, CheckpointFile]:
    """Lists a folder of this machine by the names of its files."""
    return {path.name: local_file(path) for path in sorted(folder.iterdir()) if path.is_file()}


def local_file(path: Path) -> CheckpointFile:
    """Describes a file of this machine."""

    def read(start: int, end: int) -> bytes:
        with path.open("rb") as stream:
            stream.seek(start)
            return stream.read(end - start)

    return CheckpointFile(path.name, path.stat().st_size, read)


def is_lfs_pointer(content: bytes) -> bool:
    """Tells whether a file is what Git leaves in the place of one that it has not fetched."""
    return content.startswith(_POINTER_BEGINNING)
