"""Which run a folder of checkpoints belongs to, and what tells another run from it."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kfp_llm_tuning.components.data.step_sampler import ORDER
from kfp_llm_tuning.components.models.model_reference import ModelReference
from kfp_llm_tuning.components.tuning.arguments import TuningArguments
from kfp_llm_tuning.components.tuning.tuning_sets import TuningSets

_PACKAGE = "kfp-llm-tuning"
# Of the arguments, these change no number of the result.
_WITHOUT_EFFECT = ("display_name", "report_to", "sharding")
_TITLES = {
    "checkpoint": "the base model",
    "train": "the training set",
    "evaluation": "the evaluation set",
}


def _version() -> str:
    return importlib.metadata.version(_PACKAGE)


@dataclass(frozen=True)
class RunIdentity:
    """All that decides a run's result.

    Attributes:
        facts: By name; ``arguments`` holds one a name.
        version: Of this package.
    """

    facts: Mapping[str, Any]
    version: str = field(default_factory=_version)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the facts, in hexadecimal digits."""
        return hashlib.sha256(json.dumps(self.facts, sort_keys=True).encode()).hexdigest()

    def document(self) -> dict[str, Any]:
        """Gives what is kept in a folder of the run's."""
        return {"fingerprint": self.fingerprint, "version": self.version, "facts": self.facts}

    def differs_by_version(self, owner: Mapping[str, Any]) -> bool:
        """Tells whether another state of this package began a run: what it decides is not known.

        Args:
            owner: The document of the other run.
        """
        facts = owner.get("facts")
        return (
            owner.get("version") != self.version
            or not isinstance(facts, dict)
            or not isinstance(facts.get("arguments"), dict)
            or facts.keys() != self.facts.keys()
            or facts["arguments"].keys() != self.facts["arguments"].keys()
            or facts.get("order") != self.facts.get("order")
        )

    def version_of(self, owner: Mapping[str, Any]) -> str:
        """Names the version that began a run, for people.

        Args:
            owner: The document of the other run, which :meth:`differs_by_version`.
        """
        version = owner.get("version")
        if version == self.version:
            return f"another state of version {version}"
        return f"version {version}" if version else "an older version"

    def differences(self, owner: Mapping[str, Any]) -> Iterator[str]:
        """Says what is other than in a run that the same version began.

        Args:
            owner: The document of the other run.

        Yields:
            For example ``seed is 1 and was 0``.
        """
        for name, was in owner["facts"]["arguments"].items():
            if (now := self.facts["arguments"][name]) != was:
                yield f"{name} is {now!r} and was {was!r}"
        for name, title in _TITLES.items():
            if owner["facts"].get(name) != self.facts.get(name):
                yield f"{title} is another one"


def identify(
    arguments: TuningArguments, reference: ModelReference, sets: TuningSets
) -> RunIdentity:
    """Collects all that decides a run's result.

    Args:
        arguments: What is asked for.
        reference: The base model.
        sets: The data.

    Returns:
        The run's identity.
    """
    return RunIdentity(
        {
            "arguments": {
                name: value
                for name, value in dataclasses.asdict(arguments).items()
                if name not in _WITHOUT_EFFECT
            },
            "checkpoint": reference.checkpoint_at_revision,
            "train": sets.train.facts.get("content_hash"),
            "evaluation": sets.evaluation.facts.get("content_hash"),
            "order": ORDER,
        }
    )
