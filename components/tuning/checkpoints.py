"""A folder of checkpoints that is never read half written, never by two, never by another run."""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.folders import sync, sync_tree, write_atomically
from kfp_llm_tuning.components.common.manifest import damages, write_manifest
from kfp_llm_tuning.components.tuning.run_identity import RunIdentity

logger = logging.getLogger(__name__)

PREFIX = "step-"
# Written last: sizes and hashes of every other file. A checkpoint without it does not count.
MARKER = "complete.json"
# Names the run that a folder of checkpoints belongs to; each checkpoint has a copy.
OWNER = "run.json"
_LOCK = ".lock"
_KEEP = 2


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint on disk.

    Attributes:
        step: Optimiser steps done when it was written.
        path: Its folder.
    """

    step: int
    path: Path


class CheckpointDirectory:
    """Checkpoints of one run.

    Attributes:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        """Names the folder; nothing is written before :meth:`claimed`."""
        self.path = path

    @contextmanager
    def claimed(self, identity: RunIdentity) -> Iterator[None]:
        """Holds the folder for one run, as long as the block lasts.

        Args:
            identity: All that decides the run's result: arguments, data, base model.

        Raises:
            UserError: If another process holds it, or if it belongs to another run.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / _LOCK).open("w") as stream:
            self._lock(stream.fileno())
            self._check_owner(identity)
            for leftover in self.path.glob(".writing-*"):
                shutil.rmtree(leftover, ignore_errors=True)
            yield

    def _lock(self, descriptor: int) -> None:
        try:
            # The kernel gives it back when the process ends, however it ends.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                Problem(
                    f"another tuner is writing to {self.path}.",
                    "checkpoints",
                    fix="Wait until it has ended, or give this run a folder of its own.",
                )
            ) from error
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.ENOLCK, errno.ENOSYS):
                raise
            logger.warning("%s cannot be locked: let only one tuner write to it.", self.path)

    def _check_owner(self, identity: RunIdentity) -> None:
        owner = _owner_of(self.path) or self._owner_by_checkpoints()
        if not owner:
            owner = identity.document()
            write_atomically(self.path / OWNER, json.dumps(owner))
        if owner["fingerprint"] != identity.fingerprint:
            raise UserError(self._of_another_run(identity, owner))

    def _of_another_run(self, identity: RunIdentity, owner: Mapping[str, Any]) -> Problem:
        fix = "Name an empty folder, or delete this one to begin anew."
        if identity.differs_by_version(owner):
            what = f"begun with {identity.version_of(owner)} of kfp-llm-tuning, and this is "
            what += f"version {identity.version}"
            fix = f"Go on with the version that began it. {fix}"
        else:
            what = ", ".join(identity.differences(owner))
        return Problem(f"{self.path} belongs to another run: {what}.", "checkpoints", fix=fix)

    def _owner_by_checkpoints(self) -> Mapping[str, Any]:
        """Finds whose the folder is where its own file does not say; empty where it is nobody's."""
        if not self.newest_first():
            return {}
        newest = self.newest()
        owner = _owner_of(newest.path) if newest else {}
        if newest and owner:
            logger.warning("%s is damaged: put back from %s.", OWNER, newest.path.name)
            shutil.copyfile(newest.path / OWNER, self.path / OWNER)
            return owner
        logger.warning("%s is damaged, and no checkpoint says whose it is: all are deleted.", OWNER)
        for checkpoint in self.newest_first():
            shutil.rmtree(checkpoint.path)
        return {}

    def newest_first(self) -> list[Checkpoint]:
        """Lists the checkpoints, without a look at whether they are whole."""
        found = [
            Checkpoint(int(path.name.removeprefix(PREFIX)), path)
            for path in self.path.glob(f"{PREFIX}*")
            if path.name.removeprefix(PREFIX).isdigit()
        ]
        return sorted(found, key=lambda checkpoint: checkpoint.step, reverse=True)

    def newest(self) -> Checkpoint | None:
        """Finds the newest checkpoint that is whole; says which ones were passed over."""
        for checkpoint in self.newest_first():
            reason = _damage(checkpoint.path)
            if not reason:
                return checkpoint
            logger.warning("Passing over checkpoint %s: %s.", checkpoint.path.name, reason)
        return None

    def named(self, step: int) -> Checkpoint:
        """Names the checkpoint of one step, which may not be there."""
        return Checkpoint(step, self.path / f"{PREFIX}{step}")

    def at(self, step: int) -> Checkpoint | None:
        """Finds the whole checkpoint of one step."""
        checkpoint = self.named(step)
        return checkpoint if not _damage(checkpoint.path) else None

    def begin(self, step: int) -> Path:
        """Makes the folder in which a checkpoint is written before :meth:`commit`."""
        folder = self.path / f".writing-{step}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def writing(self, step: int) -> Path:
        """Names the folder that :meth:`begin` made, for the other processes of a run."""
        return self.path / f".writing-{step}"

    def commit(self, step: int, *, best_step: int = 0) -> None:
        """Makes a checkpoint count and deletes those no longer needed.

        Args:
            step: The step that :meth:`begin` was called with.
            best_step: A step whose checkpoint is kept besides the newest two; 0 means none.
        """
        folder = self.writing(step)
        if (self.path / OWNER).exists():
            shutil.copyfile(self.path / OWNER, folder / OWNER)
        sync_tree(folder)
        write_manifest(folder, MARKER)
        self._put_in_place(step)
        self._delete_old(best_step)

    def adopt(self, step: int) -> str:
        """Makes a checkpoint count that was copied, marker and all, to where :meth:`begin` said.

        Args:
            step: The step that :meth:`begin` was called with.

        Returns:
            What is wrong with the copy, which then does not count; empty where it is whole.
        """
        reason = _damage(self.writing(step))
        if reason:
            shutil.rmtree(self.writing(step))
        else:
            self._put_in_place(step)
        return reason

    def _put_in_place(self, step: int) -> None:
        target = self.named(step).path
        if target.exists():  # A damaged one that was passed over, or this very step again.
            shutil.rmtree(target)
        self.writing(step).rename(target)
        sync(self.path)

    def _delete_old(self, best_step: int) -> None:
        for checkpoint in self.newest_first()[_KEEP:]:
            if checkpoint.step != best_step:
                shutil.rmtree(checkpoint.path, ignore_errors=True)


def _owner_of(folder: Path) -> Mapping[str, Any]:
    """Reads whose a folder is; empty where its file is missing or damaged."""
    try:
        document = json.loads((folder / OWNER).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError, RecursionError):
        return {}
    is_whole = isinstance(document, dict) and isinstance(document.get("fingerprint"), str)
    return document if is_whole else {}


def _damage(folder: Path) -> str:
    """Says what is wrong with a checkpoint; empty where it is whole."""
    return "; ".join(damages(folder, MARKER))
