"""Letting requests in: as many at once as there is room for."""

from __future__ import annotations

import asyncio

import pytest

from kfp_llm_tuning.components.serving.admission import Admission, State
from kfp_llm_tuning.components.serving.refusals import Refusal


class Clock:
    """Seconds that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def admission(clock: Clock) -> Admission:
    """An open admission with four places."""
    admission = Admission(4, clock)
    admission.state = State.OK
    return admission


async def refusal(admission: Admission, count: int) -> Refusal:
    with pytest.raises(Refusal) as caught:
        async with admission.admitted(count):
            raise AssertionError("was let in")
    return caught.value


def test_places_are_held_for_as_long_as_the_block_runs(admission: Admission) -> None:
    async def check() -> None:
        async with admission.admitted(3):
            async with admission.admitted():
                assert admission.under_way == 4
                assert (await refusal(admission, 1)).status == 429
            async with admission.admitted(1):
                assert admission.under_way == 4
        assert admission.under_way == 0

    asyncio.run(check())


def test_places_are_given_back_when_the_block_fails_or_is_cancelled(admission: Admission) -> None:
    async def hold(forever: asyncio.Event) -> None:
        async with admission.admitted(2):
            await forever.wait()

    async def check() -> None:
        with pytest.raises(ValueError, match="broken"):
            async with admission.admitted(2):
                raise ValueError("broken")
        task = asyncio.create_task(hold(asyncio.Event()))
        await asyncio.sleep(0)
        assert admission.under_way == 2
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert admission.under_way == 0

    asyncio.run(check())


def test_a_request_that_never_fits_is_a_mistake(admission: Admission) -> None:
    refused = asyncio.run(refusal(admission, 5))
    assert (refused.status, refused.retry_after) == (400, None)
    assert "at most 4" in str(refused)


def test_a_server_that_loads_refuses_and_one_that_drains_does_not(admission: Admission) -> None:
    async def check() -> None:
        admission.state = State.LOADING
        refused = await refusal(admission, 1)
        assert (refused.status, refused.retry_after) == (503, 5)
        admission.state = State.DRAINING
        async with admission.admitted():
            assert admission.under_way == 1

    asyncio.run(check())


@pytest.mark.parametrize(
    ("seconds", "count", "expected"),
    [(0.0, 1, 1), (8.0, 1, 2), (8.0, 4, 8), (30.0, 2, 15), (1000.0, 1, 60)],
)
def test_the_wait_follows_from_the_speed_of_the_last_requests(
    admission: Admission, clock: Clock, seconds: float, count: int, expected: int
) -> None:
    async def check() -> None:
        for _ in range(3):
            async with admission.admitted():
                clock.now += seconds
        clock.now += 3600  # that nobody asked for anything says nothing of the speed
        async with admission.admitted(4):
            assert (await refusal(admission, count)).retry_after == expected

    asyncio.run(check())


def test_the_wait_before_anything_was_answered(admission: Admission) -> None:
    async def check() -> None:
        async with admission.admitted(4):
            assert (await refusal(admission, 4)).retry_after == 1

    asyncio.run(check())
