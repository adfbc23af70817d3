"""Tells all machines of a run, where they see it, that its results are in place.

A machine that is lost then comes back to others that have ended, and would wait for them in vain.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kfp_llm_tuning.components.common import storage, transfers
from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.models.checkpoint_files import PROVENANCE
from kfp_llm_tuning.components.tuning.checkpoints import OWNER
from kfp_llm_tuning.components.tuning.machines import Machines
from kfp_llm_tuning.components.tuning.places import TuningPlaces

_ANNOUNCEMENT = "published.json"
# Of each machine beside the first: those that the first finds see its folder.
_PRESENCE = "machine-{}.txt"


class Publication:
    """Whether a run's results are where they belong, as its folder of checkpoints says.

    The machines need not be told the same output: the first alone writes to it. So what counts is
    that the service started them for the same job, or else that they name the same output.
    """

    def __init__(self, places: TuningPlaces, machines: Machines, fingerprint: str) -> None:
        """Names the places; nothing is read or written yet.

        Args:
            places: Where the run reads and writes.
            machines: Those of the run.
            fingerprint: Of the run's identity.
        """
        self._places, self._machines = places, machines
        self._run = {"fingerprint": fingerprint, "job": machines.job}
        if not machines.job:
            self._run["output"] = places.output
        self._uri = self._at(_ANNOUNCEMENT)

    def attend(self) -> None:
        """Lets the first machine find that this one sees the folder."""
        if storage.is_local(self._places.checkpoints) and not self._machines.is_first:
            path = storage.local_path(self._at(_PRESENCE.format(self._machines.index)))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()

    def announce(self, scratch: Path) -> None:
        """Says that all is in place; nothing where another machine would not hear of it.

        Args:
            scratch: A folder of this machine.
        """
        others = range(1, self._machines.count)
        if storage.is_local(self._places.checkpoints) and not all(
            storage.local_path(self._at(_PRESENCE.format(index))).exists() for index in others
        ):
            return
        path = scratch / _ANNOUNCEMENT
        path.write_text(json.dumps({"output": self._places.output, **self._run}), encoding="utf-8")
        transfers.upload_file(path, self._uri)

    def is_announced(self) -> bool:
        """Tells whether all is in place, and still there."""
        announced = self._read()
        if announced is None or not self._run.items() <= announced.items():
            return False
        return transfers.exists(storage.join(str(announced["output"]), PROVENANCE))

    @property
    def is_heard(self) -> bool:
        """Whether this machine sees what the first writes beside the checkpoints."""
        return not storage.is_local(self._places.checkpoints) or transfers.exists(self._at(OWNER))

    def _read(self) -> dict[str, Any] | None:
        try:
            with storage.open_input(self._uri) as stream:
                found = json.loads(stream.read())
        except (UserError, OSError, ValueError):
            return None  # It is not there, or half written.
        return found if isinstance(found, dict) else None

    def _at(self, name: str) -> str:
        return storage.join(self._places.checkpoints, name)
