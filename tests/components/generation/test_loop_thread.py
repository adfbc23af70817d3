from __future__ import annotations

import asyncio
import threading

import pytest

from kfp_llm_tuning.components.generation.loop_thread import CLOSED, LoopThread


@pytest.fixture
def thread():
    opened = LoopThread("test")
    yield opened
    opened.close()


async def name():
    return threading.current_thread().name


async def fail():
    raise KeyError("x")


def test_work_is_done_in_the_thread(thread):
    assert thread.run(name()) == "test"
    assert thread.start(name()).result() == "test"
    with pytest.raises(KeyError):
        thread.run(fail())


def test_closing_ends_work_and_then_finishes(thread):
    told = []
    begun = threading.Event()

    async def wait():
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            told.append("ended")

    work = thread.start(wait())
    begun.wait()
    thread.close(lambda: told.append("finished"))
    assert told == ["ended", "finished"]
    assert work.cancelled()
    thread.close(lambda: told.append("again"))
    assert told == ["ended", "finished"]
    assert not thread.alive


def test_who_waits_for_work_hears_of_the_end(thread):
    heard = []
    begun = threading.Event()

    async def wait():
        begun.set()
        await asyncio.Event().wait()

    def run():
        with pytest.raises(RuntimeError, match=CLOSED):
            thread.run(wait())
        heard.append(True)

    waiting = threading.Thread(target=run)
    waiting.start()
    begun.wait()
    thread.close()
    waiting.join()
    assert heard == [True]


def test_nothing_starts_after_the_end(thread):
    thread.close()
    with pytest.raises(RuntimeError, match=CLOSED):
        thread.run(name())


def test_the_thread_ends_even_if_finishing_fails(thread):
    def finish():
        raise KeyError("x")

    with pytest.raises(KeyError):
        thread.close(finish)
    assert "test" not in {other.name for other in threading.enumerate()}
