import sys
import threading

import pytest

from kfp_llm_tuning.components.common import forks


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux")
def test_threads_are_counted() -> None:
    before, done = forks.threads(), threading.Event()
    threading.Thread(target=done.wait).start()
    try:
        assert forks.threads() == before + 1
        assert not forks.is_safe()
    finally:
        done.set()
