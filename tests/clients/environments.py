"""Environments of the clients: one virtual environment a Google SDK, one folder of Node packages.

They stand under ``build/clients`` and are made once: a file of each environment holds the
requirements that it was made of, and other requirements make it anew.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from filelock import FileLock

# One major line before, and both after, vertexai.language_models was given its last features.
SDK_VERSIONS = ("1.60.0", "1.165.1", "2.7.0")
_HERE = Path(__file__).parent
_ENVIRONMENTS = Path(__file__).parents[2] / "build" / "clients"


def sdk_python(version: str) -> Path:
    """Makes the environment of a google-cloud-aiplatform where it is not there.

    Args:
        version: One of SDK_VERSIONS.

    Returns:
        Its Python.
    """
    requirements = _HERE / f"requirements-{version}.txt"

    def install(folder: Path) -> None:
        _run([sys.executable, "-m", "venv", str(folder)])
        _run([str(folder / "bin" / "python"), "-m", "pip", "install", "-q", "-r", requirements])

    return _make_once(version, [requirements], install) / "bin" / "python"


def node_modules() -> Path:
    """Brings the Node client where it is not there.

    Returns:
        The folder of its packages, for NODE_PATH.
    """
    files = [_HERE / "node" / name for name in ("package.json", "package-lock.json", ".npmrc")]

    def install(folder: Path) -> None:
        folder.mkdir()
        for file in files:
            shutil.copy(file, folder)
        _run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], folder)

    return _make_once("node", files, install) / "node_modules"


def _make_once(name: str, requirements: list[Path], make: Callable[[Path], None]) -> Path:
    """Makes an environment unless it was made, to its end, of the same requirements."""
    folder = _ENVIRONMENTS / name
    made_of = _ENVIRONMENTS / f"{name}.made-of"
    wanted = "\n".join(file.read_text(encoding="utf-8") for file in requirements)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not made_of.is_file() or made_of.read_text(encoding="utf-8") != wanted:
            made_of.unlink(missing_ok=True)
            shutil.rmtree(folder, ignore_errors=True)
            make(folder)
            made_of.write_text(wanted, encoding="utf-8")
    return folder


def _run(command: Sequence[str | Path], folder: Path | None = None) -> None:
    subprocess.run(command, cwd=folder, check=True)
