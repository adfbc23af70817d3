"""Checkpoints of a run at a URI, so that another machine goes on where this one is lost."""

from __future__ import annotations

import logging
from pathlib import Path, PurePosixPath

from kfp_llm_tuning.components.common import storage, transfers
from kfp_llm_tuning.components.tuning.checkpoints import (
    MARKER,
    OWNER,
    PREFIX,
    CheckpointDirectory,
)
from kfp_llm_tuning.components.tuning.run_state import RunState

logger = logging.getLogger(__name__)


class RemoteCheckpoints:
    """A copy of a checkpoint directory; every checkpoint in it is whole or does not count."""

    def __init__(self, local: Path, uri: str) -> None:
        """Names the two places.

        Args:
            local: The checkpoint directory of this machine.
            uri: Its copy.
        """
        self._local = CheckpointDirectory(local)
        self._uri = uri

    def fetch(self) -> None:
        """Brings the newest whole checkpoint, the best one if it is kept, and whose they are."""
        self._local.path.mkdir(parents=True, exist_ok=True)
        if transfers.exists(storage.join(self._uri, OWNER)):
            transfers.download_file(storage.join(self._uri, OWNER), self._local.path / OWNER)
        steps = self._steps()
        newest = next((step for step in steps if self._fetch(step)), None)
        if newest is None:
            return
        logger.info("Fetched the checkpoint of step %d from %s.", newest, self._uri)
        state, _ = RunState.load(self._local.path / f"{PREFIX}{newest}")
        if state.best.step in steps and state.best.step != newest:
            self._fetch(state.best.step)

    def push(self) -> None:
        """Copies what is new here, then deletes there what is no longer here."""
        if not transfers.exists(storage.join(self._uri, OWNER)):
            transfers.upload_file(self._local.path / OWNER, storage.join(self._uri, OWNER))
        whole = self._steps()
        here = self._local.newest_first()
        for checkpoint in here:
            if checkpoint.step not in whole:
                transfers.mirror_directory(
                    checkpoint.path, self._at(checkpoint.step), last=[MARKER]
                )
        begun = self._steps("*")
        for step in {*begun} - {checkpoint.step for checkpoint in here}:
            transfers.delete_directory(self._at(step), first=MARKER)

    def _fetch(self, step: int) -> bool:
        transfers.download_directory(self._at(step), self._local.begin(step))
        reason = self._local.adopt(step)
        if reason:
            logger.warning("Deleting %s: %s.", self._at(step), reason)
            transfers.delete_directory(self._at(step), first=MARKER)
        return not reason

    def _steps(self, file: str = MARKER) -> list[int]:
        """Lists the steps there, newest first, whose folder has a file: the whole ones."""
        folders = {
            PurePosixPath(name).parts[0]
            for name in transfers.matching(self._uri, f"{PREFIX}*/{file}")
        }
        numbers = [name.removeprefix(PREFIX) for name in folders]
        return sorted((int(number) for number in numbers if number.isdigit()), reverse=True)

    def _at(self, step: int) -> str:
        return storage.join(self._uri, f"{PREFIX}{step}")
