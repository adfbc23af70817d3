"""A row of the table of parameters: a field of a frozen dataclass, described by its metadata."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import MISSING, dataclass
from typing import Any, get_type_hints

# Of `--help` and the documentation, in their order.
GROUPS = (
    "required",
    "data",
    "tuning",
    "evaluation",
    "registry and deployment",
    "Vertex AI",
    "Kubeflow",
)


@dataclass(frozen=True)
class Parameter:
    """One parameter, as its row describes it.

    Attributes:
        name: Of the root input, of the tuner's argument.
        type: str, int, float, bool, dict or list.
        default: Its value when none is given; None where one must be given.
        help: What it is, one or two sentences.
        group: Where ``--help`` shows it: a name of ``GROUPS``.
        minimum: Least value allowed; None for no limit.
        maximum: Greatest value allowed; None for no limit.
        choices: The values allowed; none where a rule of its own decides.
        any_case: Whether choices may be written in small or capital letters.
        allowed: What is allowed, where limits and choices do not say it all.
        unit: Of the value: steps, seconds ...
        source: Where it comes from: the published templates, or what another library calls it.
        templates: The pipelines that have it; none: all.
        platforms: Where it has an effect; none: everywhere.
        published: Whether the published template has it.
        root_input: Of a tuner's argument: the root input that it is taken from; empty where it is
            reached through ``tuner_arguments``.
        decided_by: What decides it in a pipeline that is not given it, in the default's place.
        needs: What it has no effect without.
    """

    name: str
    type: type
    default: Any
    help: str
    group: str = "tuning"
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    any_case: bool = False
    allowed: str = ""
    unit: str = ""
    source: str = ""
    templates: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    published: bool = False
    root_input: str = ""
    decided_by: str = ""
    needs: str = ""

    @property
    def required(self) -> bool:
        """Whether a request must give a value."""
        return self.default is None

    @property
    def limits(self) -> str:
        """What values are allowed; empty where every value of the type is."""
        if self.allowed:
            return self.allowed
        if self.choices:
            return ", ".join(choice for choice in self.choices if choice)
        if self.minimum is not None and self.maximum is not None:
            return f"from {self.minimum:,.12g} to {self.maximum:,.12g}"
        if self.minimum is not None:
            return f"{self.minimum:,.12g} or more"
        return f"up to {self.maximum:,.12g}" if self.maximum is not None else ""

    @property
    def option(self) -> str:
        """The command's option: ``--train-steps`` for ``train_steps``."""
        return option_name(self.name)


def option_name(name: str) -> str:
    """Writes a parameter as the command's option: ``train_steps`` as ``--train-steps``."""
    return "--" + name.replace("_", "-")


def row(default: Any = MISSING, *, help: str, **facts: Any) -> Any:
    """Describes a field of a dataclass as a row of the table.

    Args:
        default: Its default; none where a value must be given.
        help: What it is.
        **facts: Other attributes of :class:`Parameter`.

    Returns:
        The field.
    """
    metadata = {"help": help, **facts}
    if isinstance(default, dict):
        return dataclasses.field(default_factory=lambda: dict(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def same_as(parameter: Parameter, default: Any = MISSING, **facts: Any) -> Any:
    """Describes an argument of the tuner by its root input's row: what both share stands once.

    Args:
        parameter: The root input's row.
        default: Its default where it is another; None where a value must be given.
        **facts: What differs.

    Returns:
        The field.
    """
    shared = dataclasses.asdict(parameter)
    for own in ("name", "type", "published", "templates", "source"):
        del shared[own]
    inherited = shared.pop("default")
    chosen = inherited if default is MISSING else MISSING if default is None else default
    return row(chosen, **{**shared, "root_input": parameter.name, **facts})


def rows_of(configuration: type) -> Mapping[str, Parameter]:
    """Reads the rows of a dataclass whose every field is one.

    Args:
        configuration: The dataclass.

    Returns:
        Its parameters by name, in order.
    """
    types = get_type_hints(configuration)
    return {
        field.name: Parameter(
            name=field.name,
            type=_plain_type(types[field.name]),
            default=_default(field),
            **field.metadata,
        )
        for field in dataclasses.fields(configuration)
    }


def _plain_type(annotation: Any) -> type:
    """Gives ``dict`` for ``dict[str, Any]``."""
    kind: type = getattr(annotation, "__origin__", annotation)
    return kind


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return None if field.default is MISSING else field.default
