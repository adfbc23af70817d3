"""What ``tune`` gives back: figures, reports, and the model, which predicts."""

from __future__ import annotations

import html
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.wording import short
from kfp_llm_tuning.pipelines.local_runs.run_summary import RunSummary
from kfp_llm_tuning.pipelines.terminal.text import format_seconds

if TYPE_CHECKING:
    from kfp_llm_tuning.components.generation.instances import Instance
    from kfp_llm_tuning.components.generation.tuned_model import TunedModel

_REPORT_PIXELS = 600


@dataclass(frozen=True)
class Metrics:
    """What base and tuned model were compared by; empty without an evaluation set.

    Attributes:
        base: The base model's values by the metrics' names.
        tuned: The tuned model's.
        primary: Name of the metric that counts for the task; empty without an evaluation.
        examples: That both models answered.
    """

    base: Mapping[str, float]
    tuned: Mapping[str, float]
    primary: str
    examples: int


@dataclass(frozen=True)
class Report:
    """A report; a notebook shows it as it is.

    Attributes:
        path: The HTML file.
    """

    path: Path

    def __fspath__(self) -> str:
        """Gives its path, so that it can be opened as a file."""
        return str(self.path)

    def _repr_html_(self) -> str:
        # In a frame: its styles are its own, and it needs no server.
        page = html.escape(self.path.read_text(encoding="utf-8"), quote=True)
        return (
            f'<iframe srcdoc="{page}" style="border:0;width:100%;height:{_REPORT_PIXELS}px">'
            "</iframe>"
        )


@dataclass(frozen=True)
class Reports:
    """The reports of a run.

    Attributes:
        validation: What was found of the data.
        evaluation: Base and tuned model side by side.
    """

    validation: Report
    evaluation: Report


@dataclass(frozen=True)
class TunedRun:
    """A finished run.

    Attributes:
        directory: The run's folder.
        registry_uri: Where models are registered.
        summary: All that it made.
        seconds: How long it took; of a resumed run the last try.
    """

    directory: Path
    registry_uri: str
    summary: RunSummary
    seconds: float

    @property
    def metrics(self) -> Metrics:
        """What base and tuned model were compared by."""
        evaluation = self.summary.evaluation
        values = evaluation["metrics"]
        return Metrics(
            {name: metric["base"] for name, metric in values.items()},
            {name: metric["tuned"] for name, metric in values.items()},
            self.summary.primary_metric,
            evaluation["examples"],
        )

    @property
    def verdict(self) -> str:
        """What the evaluation found, in a sentence; empty without one."""
        return self.summary.headline

    @property
    def alarms(self) -> tuple[str, ...]:
        """What of the model's answers is alarming, a sentence each."""
        return self.summary.alarms

    @property
    def reports(self) -> Reports:
        """The reports."""
        return Reports(*map(Report, self.summary.reports))

    @property
    def registered(self) -> bool:
        """Whether the model is registered: a gate refuses a model that is not good enough."""
        return not self.summary.refused

    @property
    def gate(self) -> str:
        """What the gate decided, in a sentence."""
        return str(self.summary.evaluation["gate"]["reason"])

    @property
    def model_name(self) -> str:
        """The registered model; empty where the gate refused it."""
        return self.summary.model_resource_name.removeprefix("models/").partition("@")[0]

    @property
    def model_version(self) -> int | None:
        """Its version; None where the gate refused it."""
        version = self.summary.model_resource_name.rpartition("@")[2]
        return int(version) if version else None

    @property
    def saved_model(self) -> Path:
        """Folder of the tuned model, in Hugging Face layout."""
        return self.summary.saved_model

    @property
    def serve_command(self) -> str:
        """What answers over HTTP with the model, typed in a shell."""
        if self.summary.refused:
            return shlex.join(["kfp-llm-tuning", "serve", str(self.saved_model)])
        name = f"{self.model_name}@{self.model_version}"
        return shlex.join(["kfp-llm-tuning", "serve", name, "--registry-uri", self.registry_uri])

    @cached_property
    def model(self) -> TunedModel:
        """The tuned model in the memory of this process; loaded once, when it is first asked."""
        from kfp_llm_tuning.components.generation.tuned_model import TunedModel
        from kfp_llm_tuning.components.models.quiet import quiet_transformers

        with quiet_transformers():
            return TunedModel(self.saved_model)

    @overload
    def predict(self, prompt: str, *, max_output_tokens: int = 0) -> str: ...
    @overload
    def predict(self, prompt: Sequence[Any], *, max_output_tokens: int = 0) -> Any: ...
    def predict(self, prompt: Any, *, max_output_tokens: int = 0) -> Any:
        """Asks the tuned model; its answer is the likeliest, and always the same.

        Args:
            prompt: A text, or a conversation: a list of messages, the user's last. Or a list of
                such prompts, or of rows as a dataset has them, which are answered together.
            max_output_tokens: Limit of an answer; 0: the limit that the model was tuned with.

        Returns:
            The answer; of a list of prompts a list of answers.

        Raises:
            UserError: If a prompt asks nothing.
        """
        single = isinstance(prompt, str) or _is_conversation(prompt)
        prompts = [prompt] if single else list(prompt)
        instances = [_instance(one) for one in prompts]
        answers = [one.content for one in self.model.answer(instances, max_output_tokens)]
        return answers[0] if single else answers

    def __str__(self) -> str:
        """Tells the run in a few lines."""
        return "\n".join(f"{title:<10} {text}" for title, text in self._told())

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='text-align:left'>{html.escape(title)}</th>"
            f"<td style='text-align:left'>{html.escape(text)}</td></tr>"
            for title, text in self._told()
        )
        return f"<table>{rows}</table>{self._metrics_html()}"

    def _told(self) -> list[tuple[str, str]]:
        model = self.summary.model_resource_name or f"not registered: {self.gate}"
        told = [("model", model), ("weights", str(self.saved_model))]
        if self.metrics.primary:
            name = self.metrics.primary
            base, tuned = self.metrics.base[name], self.metrics.tuned[name]
            told.append((name, f"{base:.4g} → {tuned:.4g}"))
        told += [("verdict", self.verdict)] if self.verdict else []
        told += [("alarm", alarm) for alarm in self.alarms]
        told += [("run", f"{self.directory}, {format_seconds(self.seconds)}")]
        return [*told, ("serve", self.serve_command)]

    def _metrics_html(self) -> str:
        metrics = self.metrics
        rows = "".join(
            f"<tr><td>{html.escape(name)}</td><td>{metrics.base[name]:.4g}</td>"
            f"<td>{metrics.tuned[name]:.4g}</td></tr>"
            for name in metrics.tuned
        )
        if not rows:
            return ""
        caption = f"{metrics.examples} evaluation examples"
        head = "<tr><th>metric</th><th>base</th><th>tuned</th></tr>"
        return f"<table><caption>{caption}</caption>{head}{rows}</table>"


def _is_conversation(prompt: Any) -> bool:
    first = prompt[0] if isinstance(prompt, Sequence) and prompt else None
    return (
        isinstance(first, Mapping) and "content" in first and bool({"author", "role"} & set(first))
    )


def _instance(prompt: Any) -> Instance:
    from kfp_llm_tuning.components.generation.instances import text_instance
    from kfp_llm_tuning.components.generation.questions import read_question

    if isinstance(prompt, str):
        return text_instance(prompt)
    if _is_conversation(prompt):
        return read_question({"messages": list(prompt)})
    if isinstance(prompt, Mapping):
        return read_question(prompt)
    allowed = "a text, a list of messages, or a row of a dataset"
    raise UserError(Problem(f"{short(prompt)} asks nothing.", "prompt", allowed))
