"""The argument MODEL of the commands that run a tuned model."""

from __future__ import annotations

from pathlib import Path

from kfp_llm_tuning.components.upload.names import parse_address


def model_folder(model: str, registry_uri: str) -> Path:
    """Brings the model that MODEL names to this machine.

    Args:
        model: A folder, or any way of pointing at a registered model.
        registry_uri: The registry.

    Returns:
        A folder in Hugging Face layout.

    Raises:
        UserError: If there is no such model.
    """
    path = Path(model).expanduser()
    if path.is_dir():
        return path
    from kfp_llm_tuning.components.upload.catalogue import download, find_version

    version = find_version(registry_uri, parse_address(model))
    return download(registry_uri, version)


def model_name(model: str) -> str:
    """Names the model that MODEL names: its registered name, or that of its folder."""
    path = Path(model).expanduser()
    return path.resolve().name if path.is_dir() else parse_address(model).name
