"""What the server counts, as Prometheus reads it."""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from kfp_llm_tuning.components.common import contention
from kfp_llm_tuning.components.serving.admission import Admission

_PREFIX = "kfp_llm_tuning"
# Requests take from the milliseconds of a refusal to the minutes of a long answer on a CPU.
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    """The counts of one server, in a registry of their own.

    Attributes:
        registry: What Prometheus's client collects from.
    """

    def __init__(self, model: str, admission: Admission) -> None:
        """Starts every count at zero.

        Args:
            model: What clients call the model: a label of every count.
            admission: Knows how many answers are under way.
        """
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._model = model
        self._requests = self._counter("requests", "Requests answered.", "route", "status")
        self._prompt_tokens = self._counter("prompt_tokens", "Tokens of prompts.", "route")
        self._output_tokens = self._counter("output_tokens", "Tokens of answers.", "route")
        self._seconds = self._histogram("request_seconds", "Until the answer's end.", "route")
        self._first_token = self._histogram("first_token_seconds", "Until the first token.")
        under_way = self._gauge("answers_under_way", "Answers being written or waited for.")
        under_way.set_function(lambda: admission.under_way)
        waiting = self._gauge(
            "processor_waiting_share", "Of their time, what threads waited for a processor."
        )
        waiting.set_function(contention.waiting_share)
        self._gauge("answers_limit", "Most answers at once.").set(admission.limit)

    def request(self, route: str, status: int, seconds: float) -> None:
        """Counts a request that has ended.

        Args:
            route: The path as it was registered, never as the client wrote it.
            status: HTTP status.
            seconds: How long it took.
        """
        self._requests.labels(self._model, route, status).inc()
        self._seconds.labels(self._model, route).observe(seconds)

    def answered(self, route: str, prompt_tokens: int, output_tokens: int) -> None:
        """Counts the tokens of a request.

        Args:
            route: As of `request`.
            prompt_tokens: Tokens that the model read.
            output_tokens: Tokens that it wrote.
        """
        self._prompt_tokens.labels(self._model, route).inc(prompt_tokens)
        self._output_tokens.labels(self._model, route).inc(output_tokens)

    def first_token(self, seconds: float) -> None:
        """Notes how long an answer's first token took.

        Args:
            seconds: Since the request was let in.
        """
        self._first_token.labels(self._model).observe(seconds)

    def page(self) -> bytes:
        """Writes all counts in Prometheus's text format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"{_PREFIX}_{name}", text, ("model", *labels), registry=self.registry)

    def _histogram(self, name: str, text: str, *labels: str) -> Histogram:
        labelled = ("model", *labels)
        registry = self.registry
        return Histogram(f"{_PREFIX}_{name}", text, labelled, registry=registry, buckets=_SECONDS)

    def _gauge(self, name: str, text: str) -> Gauge:
        gauge = Gauge(f"{_PREFIX}_{name}", text, ("model",), registry=self.registry)
        return gauge.labels(self._model)
