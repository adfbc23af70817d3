"""The roofline counts what is known of operations, without running them."""

from __future__ import annotations

import pytest
import torch
from counted_kernels import document_attention
from counted_operations import H200, OperationCounter, Work, attention_operations
from torch._subclasses.fake_tensor import FakeTensorMode


def test_a_product_is_counted_as_two_operations_a_pair() -> None:
    with FakeTensorMode(), OperationCounter(H200) as counter:
        torch.empty(4096, 4096) @ torch.empty(4096, 8192)
    assert counter.work.operations == 1
    assert counter.work.arithmetic == 2 * 4096 * 4096 * 8192
    assert counter.work.products == counter.work.seconds == 2 * 4096 * 4096 * 8192 / H200.products


def test_a_thin_product_takes_as_long_as_its_traffic() -> None:
    with FakeTensorMode(), OperationCounter(H200) as counter:
        torch.empty(1, 4096) @ torch.empty(4096, 8192)
    assert counter.work.seconds == 4 * (4096 + 4096 * 8192 + 8192) / H200.memory


def test_what_is_no_product_takes_as_long_as_its_traffic_and_a_view_nothing() -> None:
    with FakeTensorMode():
        left, right = torch.empty(1000, 10), torch.empty(1000, 10)
        with OperationCounter(H200) as counter:
            (left.view(10, 1000).t() + right.reshape(10, 1000).T)[:, :5].detach()
    assert counter.work == Work(operations=1, other=3 * 4 * 10_000 / H200.memory)


def test_attention_within_documents_is_that_of_each_alone() -> None:
    with FakeTensorMode():
        tensors = [torch.empty(60, 8, 64, requires_grad=True) for _ in range(3)]
        with OperationCounter(H200) as counter:
            attended = document_attention(*tensors, [40, 20])
        forward = 4 * 8 * 64 * (40**2 + 20**2) / 2
        assert counter.work.arithmetic == forward
        with OperationCounter(H200) as counter:
            attended.sum().backward()
        assert counter.work.arithmetic == 2.5 * forward
    alone = sum(
        attention_operations("attention", [torch.empty(1, 8, length, 64)]) for length in (40, 20)
    )
    assert forward == alone


@pytest.mark.parametrize("times", [0, 3])
def test_work_adds_up(times: int) -> None:
    work = Work(operations=2, arithmetic=3, products=4, attention=5, other=6)
    assert work * times == sum((work for _ in range(times)), start=Work())
    assert work.seconds == 15
