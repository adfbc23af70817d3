"""A first look at a dataset's files: their digest and size."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from kfp_llm_tuning.components.common.input_stream import BrokenInput
from kfp_llm_tuning.components.data.sources.files import list_files, open_file

_BLOCK_BYTES = 2**20


@dataclass(frozen=True)
class SourceDigest:
    """What a dataset's files are, byte by byte.

    Attributes:
        sha256: Digest after decompression, of all files in their order: the same for x.jsonl and
            x.jsonl.gz.
        byte_count: Size after decompression.
    """

    sha256: str
    byte_count: int


def digest_source(uri: str) -> SourceDigest:
    """Reads every file once, in flat memory.

    What lies behind a damage is passed over here: checking the rows refuses it.

    Args:
        uri: The dataset, as `data.sources.files.list_files` takes it.

    Returns:
        Digest and size.

    Raises:
        UserError: If a file cannot be found or opened.
    """
    digest = hashlib.sha256()
    byte_count = 0
    for file in list_files(uri):
        with open_file(file.uri) as stream:
            try:
                while block := stream.read(_BLOCK_BYTES):
                    digest.update(block)
                    byte_count += len(block)
            except BrokenInput:
                continue
    return SourceDigest(digest.hexdigest(), byte_count)
