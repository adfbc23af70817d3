"""Counts as Prometheus reads them."""

from __future__ import annotations

import asyncio

from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from kfp_llm_tuning.components.serving.admission import Admission, State
from kfp_llm_tuning.components.serving.metrics import Metrics


def samples(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    families = text_string_to_metric_families(metrics.page().decode())
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float:
    found = {**labels, "model": "intents"}
    return samples(metrics)[f"kfp_llm_tuning_{name}", frozenset(found.items())]


def test_requests_and_tokens_are_counted_by_route() -> None:
    metrics = Metrics("intents", Admission(4))
    metrics.request("/predict", 200, 0.3)
    metrics.request("/predict", 200, 0.2)
    metrics.request("/predict", 429, 0.001)
    metrics.answered("/predict", 10, 3)
    metrics.answered("/predict", 5, 2)
    metrics.first_token(0.04)
    assert value(metrics, "processor_waiting_share") == 0
    assert value(metrics, "requests_total", route="/predict", status="200") == 2
    assert value(metrics, "requests_total", route="/predict", status="429") == 1
    assert value(metrics, "prompt_tokens_total", route="/predict") == 15
    assert value(metrics, "output_tokens_total", route="/predict") == 5
    assert value(metrics, "request_seconds_count", route="/predict") == 3
    assert value(metrics, "request_seconds_bucket", route="/predict", le="0.25") == 2
    assert value(metrics, "first_token_seconds_bucket", le="0.05") == 1


def test_the_queue_is_told_as_it_is_when_asked() -> None:
    admission = Admission(4)
    admission.state = State.OK
    metrics = Metrics("intents", admission)

    async def check() -> None:
        async with admission.admitted(3):
            assert value(metrics, "answers_under_way") == 3

    asyncio.run(check())
    assert value(metrics, "answers_under_way") == 0
    assert value(metrics, "answers_limit") == 4


def test_servers_of_one_process_count_for_themselves() -> None:
    first, second = (Metrics("intents", Admission(4)) for _ in range(2))
    first.request("/predict", 200, 0.1)
    assert not any("requests_total" in name for name, _ in samples(second))
    assert not any(family.name.startswith("kfp_llm_tuning") for family in REGISTRY.collect())


def test_memory_of_the_process_is_told() -> None:
    metrics = Metrics("intents", Admission(4))
    assert samples(metrics)["process_resident_memory_bytes", frozenset()] > 1_000_000
