"""Events as lines of JSON, as the process of a pipeline writes them."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from tests.vertex.runner_protocol import Artifact, Event


def to_line(event: Event) -> str:
    """Writes an event as one line; an event without a time happens now."""
    content = asdict(replace(event, time=None))
    return json.dumps({**content, "time": (event.time or datetime.now(UTC)).isoformat()})


def from_line(line: str) -> Event:
    """Reads an event from its line."""
    content = json.loads(line)
    return Event(
        **{
            **content,
            "path": tuple(content["path"]),
            "time": datetime.fromisoformat(content["time"]),
            "input_artifacts": _artifacts(content["input_artifacts"]),
            "output_artifacts": _artifacts(content["output_artifacts"]),
        }
    )


def _artifacts(by_name: dict[str, list[dict[str, Any]]]) -> dict[str, list[Artifact]]:
    return {name: [Artifact(**fields) for fields in found] for name, found in by_name.items()}
