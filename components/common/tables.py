"""Tables that a person may edit: YAML files beside the code, each with its JSON schema."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any


@cache
def load_table(path: Path) -> Any:
    """Reads ``NAME.yaml`` and checks it against ``NAME.schema.json`` beside it.

    Args:
        path: The YAML file.

    Returns:
        Its content; shared between callers, who must not change it.

    Raises:
        ValueError: If the table breaks its schema; the message names the entry and the rule.
    """
    import json

    import jsonschema
    import yaml

    table = yaml.safe_load(path.read_text(encoding="utf-8"))
    schema = json.loads(path.with_suffix(".schema.json").read_text(encoding="utf-8"))
    validator = jsonschema.validators.validator_for(schema)(schema)
    errors = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(table)]
    if errors:
        raise ValueError(f"{path.name} breaks its schema:\n" + "\n".join(errors))
    return table
