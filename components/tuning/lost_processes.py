"""What one of several processes sees when another is gone: an interruption, not a fault of its own.

The communication ends with errors of the library beneath it. A process that ends with one of them
asks to be run again, so that whoever started it tells what was lost from what was wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kfp_llm_tuning.components.common.errors import RunAgain
from kfp_llm_tuning.components.tuning import processes

# Gloo has no class of errors: it names its file, and what the operating system said.
_GLOO = "gloo/transport"


@contextmanager
def loss_is_an_interruption() -> Iterator[None]:
    """Ends a process whose fellows are gone as one that was interrupted.

    Raises:
        RunAgain: If the communication with another process broke off inside the block.
    """
    try:
        yield
    except RuntimeError as error:
        if processes.count() == 1 or not _is_loss(error):
            raise
        raise RunAgain(f"another process of this run is gone ({type(error).__name__})") from error


def _is_loss(error: RuntimeError) -> bool:
    from torch.distributed import DistError

    return isinstance(error, DistError) or _GLOO in str(error)
