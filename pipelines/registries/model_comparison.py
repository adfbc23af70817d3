"""Two registered versions side by side: figures, parameters, data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.metrics import METRICS

if TYPE_CHECKING:
    from kfp_llm_tuning.components.upload.catalogue import Version
    from kfp_llm_tuning.pipelines.registries.registry import Registry

_PARAMETERS = "parameters/"
# Of a run's parameters, where the tuner's stand by themselves: what names the run, and no setting.
_NO_SETTINGS = ("display_name", "model_reference")
NO_CLEAR_DIFFERENCE = "no clear difference"


@dataclass(frozen=True)
class Figure:
    """A metric of one model.

    Attributes:
        value: Of the tuned model.
        interval: 95 % confidence interval; None where it is not kept.
    """

    value: float
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class DataSet:
    """A data set as a tuned model tells of it.

    Attributes:
        uri: Where it was.
        examples: How many there were.
        digest: SHA-256 of its content; empty where it is not known.
    """

    uri: str
    examples: int
    digest: str

    @property
    def name(self) -> str:
        """Its file's name."""
        return self.uri.rstrip("/").rpartition("/")[2]


@dataclass(frozen=True)
class ComparedMetric:
    """A metric that both models have.

    Attributes:
        name: The metric's.
        first: Of the first model.
        second: Of the second.
        better: Name and version of the better one, or that there is no clear difference; empty
            where the models were not evaluated on the same data.
    """

    name: str
    first: Figure
    second: Figure
    better: str


@dataclass(frozen=True)
class ModelComparison:
    """Two versions side by side.

    Attributes:
        names: NAME@VERSION of both.
        base_models: What was tuned.
        training: The training data of both; None where it is not known.
        evaluation: The evaluation data of both, likewise.
        same_evaluation: Whether both were evaluated on the same data; None where that is not known.
        metrics: Those that both have, the primary one first.
        parameters: Of the tuner, where the two differ; None where a model has it not.
    """

    names: tuple[str, str]
    base_models: tuple[str, str]
    training: tuple[DataSet | None, DataSet | None]
    evaluation: tuple[DataSet | None, DataSet | None]
    same_evaluation: bool | None
    metrics: tuple[ComparedMetric, ...]
    parameters: Mapping[str, tuple[str | None, str | None]]


def compare(registry: Registry, first: Version, second: Version) -> ModelComparison:
    """Compares two versions by what the registry keeps of them.

    Args:
        registry: Where both are.
        first: A version.
        second: Another.

    Raises:
        UserError: If they are one and the same.

    Returns:
        The comparison. A model is better where the 95 % intervals do not overlap: registries keep
        no single answers, by which a paired test would find smaller differences. Where no intervals
        are kept, the better value counts.
    """
    both = first, second
    if first.resource_name == second.resource_name:
        what = f"both are {first.resource_name}."
        raise UserError(Problem(what, "MODEL, OTHER", fix="Name two versions: NAME@VERSION."))
    evaluation = _data_sets(both, "evaluation_dataset")
    same = _same(*evaluation)
    names = tuple(f"{version.name}@{version.version}" for version in both)
    figures = [_figures(version, registry.evaluation(version)) for version in both]
    shared = [name for name in figures[0] if name in figures[1]]
    metrics = tuple(
        ComparedMetric(
            name,
            figures[0][name],
            figures[1][name],
            _better(name, figures[0][name], figures[1][name], names) if same else "",
        )
        for name in shared
    )
    return ModelComparison(
        names=(names[0], names[1]),
        base_models=(_base_model(first), _base_model(second)),
        training=_data_sets(both, "dataset"),
        evaluation=evaluation,
        same_evaluation=same,
        metrics=metrics,
        parameters=_differing(_settings(first.parameters), _settings(second.parameters)),
    )


def _base_model(version: Version) -> str:
    """Names the checkpoint that was tuned: a closed name's stand-in, not that name."""
    return version.parameters.get("checkpoint") or version.base_model


def _figures(version: Version, evaluation: Mapping[str, Any]) -> dict[str, Figure]:
    """Reads a version's figures, those of its evaluation.json in its order: the primary first."""
    told: Mapping[str, Mapping[str, Any]] = evaluation.get("metrics", {})
    figures = {
        name: Figure(float(metric["tuned"]), _interval(metric.get("tuned_interval")))
        for name, metric in told.items()
        if isinstance(metric.get("tuned"), int | float)
    }
    kept = {
        name.removeprefix("tuned/"): Figure(value)
        for name, value in version.metrics.items()
        if name.startswith("tuned/")
    }
    return {**figures, **{name: kept[name] for name in sorted(kept) if name not in figures}}


def _interval(ends: Any) -> tuple[float, float] | None:
    low, high = (ends or {}).get("low"), (ends or {}).get("high")
    return None if low is None or high is None else (float(low), float(high))


def _better(name: str, first: Figure, second: Figure, names: tuple[str, ...]) -> str:
    if first.interval and second.interval:
        (low, high), (other_low, other_high) = first.interval, second.interval
        if low <= other_high and other_low <= high:
            return NO_CLEAR_DIFFERENCE
    if first.value == second.value:
        return NO_CLEAR_DIFFERENCE
    is_first = (first.value > second.value) == METRICS.get(name, True)
    return names[0] if is_first else names[1]


def _data_sets(
    versions: tuple[Version, Version], group: str
) -> tuple[DataSet | None, DataSet | None]:
    first, second = (_data_set(version.parameters, group) for version in versions)
    return first, second


def _data_set(parameters: Mapping[str, str], group: str) -> DataSet | None:
    if f"{group}/examples" not in parameters:
        return None
    return DataSet(
        uri=parameters.get(f"{group}/source_uri", ""),
        examples=int(parameters[f"{group}/examples"]),
        digest=parameters.get(f"{group}/source_sha256", ""),
    )


def _same(first: DataSet | None, second: DataSet | None) -> bool | None:
    if first is None or second is None or not (first.digest and second.digest):
        return None
    return (first.digest, first.examples) == (second.digest, second.examples)


def _settings(parameters: Mapping[str, str]) -> dict[str, str]:
    return {
        short: value
        for name, value in parameters.items()
        if name.startswith(_PARAMETERS)
        and (short := name.removeprefix(_PARAMETERS)) not in _NO_SETTINGS
    }


def _differing(
    first: Mapping[str, str], second: Mapping[str, str]
) -> dict[str, tuple[str | None, str | None]]:
    return {
        name: (first.get(name), second.get(name))
        for name in sorted({*first, *second})
        if first.get(name) != second.get(name)
    }
