"""Words of the filter language that Vertex AI's lists understand (AIP-160)."""

from __future__ import annotations


def quoted(text: str) -> str:
    """Writes a text as a string of the filter language."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
