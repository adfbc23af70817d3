"""What a process prints, line by line, while it works."""

from __future__ import annotations

import os
import selectors
from collections.abc import Iterator
from typing import IO

_CHUNK_BYTES = 2**16  # What a pipe holds on Linux: reading it empties the pipe.


def read_lines(output: IO[bytes], errors: IO[bytes]) -> Iterator[tuple[str, bool]]:
    """Yields the lines of both streams until they end.

    Where both have something, standard output is first: what a program said before it failed
    stands before its failure.

    Args:
        output: Standard output, a pipe.
        errors: Standard error, a pipe.

    Yields:
        A line with its end, and whether it came from standard error.
    """
    rests = {output: b"", errors: b""}
    with selectors.DefaultSelector() as selector:
        for stream in rests:
            selector.register(stream, selectors.EVENT_READ)
        while selector.get_map():
            for stream, chunk in _next_chunks(selector, output, errors):
                *lines, rests[stream] = (rests[stream] + chunk).split(b"\n")
                for line in lines:
                    yield line.decode(errors="replace") + "\n", stream is errors
                if not chunk:
                    selector.unregister(stream)
    for stream, rest in rests.items():
        if rest:
            yield rest.decode(errors="replace") + "\n", stream is errors


def _next_chunks(
    selector: selectors.BaseSelector, output: IO[bytes], errors: IO[bytes]
) -> Iterator[tuple[IO[bytes], bytes]]:
    """Waits for either stream, and gives what both have, standard output first.

    Standard error is read first: what was said before it is in the other pipe by then, and would
    not be the other way round.
    """
    ready = {key.fileobj for key, _ in selector.select()}
    failure = os.read(errors.fileno(), _CHUNK_BYTES) if errors in ready else None
    if failure is not None:
        ready = {key.fileobj for key, _ in selector.select(timeout=0)}
    if output in ready:
        yield output, os.read(output.fileno(), _CHUNK_BYTES)
    if failure is not None:
        yield errors, failure
