from __future__ import annotations

import pytest

pytest.importorskip("jax")

from tests import test_borrowed_insides as insides  # noqa: E402

pytestmark = pytest.mark.tpu

BORROWED = [one for one in insides.LISTED if one.library == insides.ELSEWHERE]


@pytest.mark.parametrize("borrowed", BORROWED, ids=lambda one: one.name)
def test_what_is_replaced_is_there(borrowed: insides.Borrowed) -> None:
    insides.test_it_is_there_used_and_still_private(borrowed)
