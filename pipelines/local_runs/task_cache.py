"""What earlier tries of a run finished: believed only where it is still as it was finished.

kfp.local's own cache takes whatever file lies where an output was, and whatever its entries say.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from kfp import dsl
from kfp.local.cache import LocalCache

from kfp_llm_tuning.components.common.folders import write_atomically
from kfp_llm_tuning.components.common.manifest import differences, list_output
from kfp_llm_tuning.components.common.storage import is_local
from kfp_llm_tuning.pipelines.local_runs.relocation import Relocation

# Of a task's inputs, what says where people look at it while it works: it makes the same anywhere.
_WITHOUT_EFFECT = ("tracking_uri",)


class TaskCache(LocalCache):
    """kfp.local's cache of finished tasks, with a digest of every entry and every output file.

    Entries hold paths as they were when the run was made, and so do keys: a run that is moved
    finds its tasks done.
    """

    def __init__(self, root: Path, relocation: Relocation, warn: Callable[[str], None]) -> None:
        """Opens the cache.

        Args:
            root: Its folder.
            relocation: Of the run's folder since it was made.
            warn: Is told why a finished task is done again, or cannot be recorded.
        """
        super().__init__(cache_root=str(root))
        self._relocation = relocation
        self._warn = warn

    def compute_key(self, **keywords: Any) -> str:
        """Computes a task's key from what it is given, wherever the run lies now."""
        given = keywords.pop("arguments")
        effective = {name: given[name] for name in given if name not in _WITHOUT_EFFECT}
        arguments = self._serialize_value_for_key(effective)
        key: str = super().compute_key(arguments=self._relocation.as_made(arguments), **keywords)
        return key

    def get(self, key: str) -> dict[str, Any] | None:
        """Gives the outputs of a finished task.

        Args:
            key: Of the task.

        Returns:
            The outputs; None where the task was not finished, or where its record or one of its
            files is not as it was: it is then done again.
        """
        path = Path(self._entry_path(key))
        try:
            entry = _read(path)
            outputs: dict[str, Any] = self._deserialize_outputs(
                self._relocation.as_now(entry["outputs"])
            )
            damages = list(_damages(outputs, entry["files"]))
        except FileNotFoundError:
            return None
        except Exception as error:  # kfp's own errors on a missing artifact have no name of theirs
            damages = [f"its record cannot be used ({error})"]
        if not damages:
            return outputs
        self._warn(f"It was done before, but {'; '.join(damages)}: it is done again.")
        return None

    def put(self, key: str, outputs: dict[str, Any]) -> None:
        """Records the outputs of a finished task, with a digest of each of their files.

        Args:
            key: Of the task.
            outputs: Parameter values and artifacts.
        """
        try:
            for _, artifact in _local_artifacts(outputs):
                # Metrics are kept in the artifact's metadata: kfp takes an artifact without a file
                # for one that was deleted.
                Path(artifact.path).parent.mkdir(parents=True, exist_ok=True)
                Path(artifact.path).touch()
            files = {
                name: list_output(Path(artifact.path))
                for name, artifact in _local_artifacts(outputs)
            }
            made = self._relocation.as_made(self._serialize_outputs(outputs))
            content = {"outputs": made, "files": files}
            text = json.dumps({"sha256": _digest(content), **content})
            write_atomically(Path(self._entry_path(key)), text)
        except OSError as error:
            self._warn(f"It is done, but that cannot be recorded ({error}): it may be done again.")


def _read(path: Path) -> dict[str, Any]:
    entry = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(entry, dict):
        raise ValueError("it is no JSON object")
    if entry.pop("sha256", None) != _digest(entry):
        raise ValueError("its contents are not those that were written")
    return entry


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _local_artifacts(outputs: Mapping[str, Any]) -> Iterator[tuple[str, dsl.Artifact]]:
    for name, value in outputs.items():
        members = value if isinstance(value, list) else [value]
        for number, member in enumerate(members):
            if isinstance(member, dsl.Artifact) and is_local(member.uri):
                yield f"{name}/{number}", member


def _damages(outputs: Mapping[str, Any], files: Mapping[str, Any]) -> Iterator[str]:
    for name, artifact in _local_artifacts(outputs):
        for damage in differences(Path(artifact.path), files[name]):
            yield f"its output {name.partition('/')[0]} is damaged: {damage}"
