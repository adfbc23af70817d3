"""A file that is read from its beginning to its end: decompressed, its damage told."""

from __future__ import annotations

import io
import lzma
import zipfile
import zlib
from collections.abc import Callable
from typing import IO, Any

from kfp_llm_tuning.components.common.errors import Problem, UserError

# Beside EOFError, and the errors of packages that a plain install does not have, by their names.
_DAMAGE = (zlib.error, lzma.LZMAError, zipfile.BadZipFile)
_DAMAGE_OF_PACKAGES = ("ZstdError", "UncompressError")


class BrokenInput(UserError):
    """A file cannot be read to its end.

    Attributes:
        reason: Why, for a person.
        fix: What to do.
    """

    def __init__(self, reason: str, fix: str, uri: str) -> None:
        """Takes the reason, what to do, and the file."""
        super().__init__(Problem(f"{reason}.", uri, fix=fix))
        self.reason = reason
        self.fix = fix


class InputStream(io.RawIOBase):
    """Reads a stream in order; ``read`` gives what there is, at most what was asked for."""

    def __init__(self, stream: IO[bytes], uri: str, compression: str | None = None) -> None:
        """Takes the stream.

        Args:
            stream: Any binary stream, decompressing already; is closed with this one.
            uri: The file, for messages.
            compression: Its name in fsspec, such as ``gzip``; None for a plain file.
        """
        super().__init__()
        self._stream = stream
        self._uri = uri
        self._compression = compression
        # read() would lose what was decompressed before a break in the same block.
        self._read: Callable[[int], bytes] = getattr(stream, "read1", stream.read)

    def readable(self) -> bool:
        """Always true."""
        return True

    def read(self, size: int | None = -1) -> bytes:
        """Reads a part of the file.

        Args:
            size: How many bytes at most; negative for all that is left.

        Returns:
            The bytes; empty at the file's end.

        Raises:
            BrokenInput: If the file is damaged, or the storage fails.
        """
        if size is None or size < 0:
            return self.readall()
        try:
            return self._read(size)
        except Exception as error:  # those of fsspec's packages have no base of their own
            raise self._broken(error) from error

    def rewound(self) -> IO[bytes]:
        """Gives the stream below, at its beginning: for readers that seek.

        Raises:
            BrokenInput: If it cannot go back.
        """
        try:
            self._stream.seek(0)
        except Exception as error:  # as above
            raise self._broken(error) from error
        return self._stream

    def close(self) -> None:
        """Closes the stream below too."""
        if not self.closed:
            self._stream.close()
        super().close()

    def _broken(self, error: Exception) -> BrokenInput:
        again = "Copy or compress the file again."
        if self._compression and isinstance(error, EOFError):
            reason = f"the {self._compression} file ends before its end mark: it was cut off"
            return BrokenInput(reason, again, self._uri)
        if self._compression and _tells_damage(error):
            reason = f"the {self._compression} data is damaged ({error})"
            return BrokenInput(reason, again, self._uri)
        reason = f"the file cannot be read further ({type(error).__name__}: {error})"
        return BrokenInput(reason, "Try again, or copy the file to another place.", self._uri)


def _tells_damage(error: Any) -> bool:
    # bz2 and gzip raise OSError; one of the operating system has a number.
    plain = isinstance(error, OSError) and error.errno is None
    return plain or isinstance(error, _DAMAGE) or type(error).__name__ in _DAMAGE_OF_PACKAGES
