"""Remote inputs and outputs of the tuner: brought to this machine before, taken away after."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from kfp_llm_tuning.components.common import storage, transfers
from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.folders import scratch_folder
from kfp_llm_tuning.components.common.manifest import MANIFEST_FILE
from kfp_llm_tuning.components.models.checkpoint_files import CONFIG, PROVENANCE
from kfp_llm_tuning.components.tuning import processes
from kfp_llm_tuning.components.tuning.places import TuningPaths, TuningPlaces
from kfp_llm_tuning.components.tuning.remote_checkpoints import RemoteCheckpoints

if TYPE_CHECKING:
    from kfp_llm_tuning.components.tuning.mirror import Mirror

logger = logging.getLogger(__name__)

# Where a process that was launched as one of several finds what the first has staged.
SCRATCH_VARIABLE = "KFP_LLM_TUNING_SCRATCH"
# Vertex AI shows the curves that stand there while a job runs.
_LIVE_CURVES_VARIABLE = "AIP_TENSORBOARD_LOG_DIR"
# Nobody loads a model without its configuration, and we do not without its provenance. The manifest
# goes first: a reader that sees the others sees what to check them by.
_WRITTEN_LAST = (MANIFEST_FILE, CONFIG, PROVENANCE)


class Staging:
    """The places of a run as paths of this machine, and what travels between the two.

    Attributes:
        paths: Local paths; those of remote places lie in the scratch folder.
        scratch: The scratch folder.
    """

    def __init__(self, places: TuningPlaces, scratch: Path) -> None:
        """Names the paths; nothing is read or written yet.

        Args:
            places: Where the run reads and writes.
            scratch: A folder of this machine for what is remote.
        """
        self.scratch = scratch
        self._places = places
        self.paths = TuningPaths(
            train_dataset=self._path(places.train_dataset, "train"),
            evaluation_dataset=self._path(places.evaluation_dataset, "evaluation")
            if places.evaluation_dataset
            else None,
            output=self._path(places.output, "output"),
            metrics=self._path(places.metrics, "metrics"),
            checkpoints=self._path(places.checkpoints, "checkpoints"),
        )

    def _path(self, place: str, name: str) -> Path:
        return storage.local_path(place) if storage.is_local(place) else self.scratch / name

    def fetch_datasets(self) -> None:
        """Brings the datasets.

        Raises:
            UserError: If one cannot be read.
        """
        for name in ("train_dataset", "evaluation_dataset"):
            uri, path = getattr(self._places, name), getattr(self.paths, name)
            if path is not None and not storage.is_local(uri):
                with storage.failures_explained(f"read {uri}", name):
                    transfers.download_directory(uri, path)

    def fetch_checkpoints(self) -> None:
        """Brings the checkpoint to go on from.

        Raises:
            UserError: If the checkpoints cannot be read.
        """
        if not storage.is_local(self._places.checkpoints):
            with storage.failures_explained(f"read {self._places.checkpoints}", "checkpoints"):
                self._checkpoints().fetch()

    def mirror(self) -> Mirror:
        """Makes the callback that copies checkpoints and metrics while training goes on."""
        from kfp_llm_tuning.components.tuning.mirror import Mirror

        remote = not storage.is_local(self._places.checkpoints)
        return Mirror(
            checkpoints=[self._checkpoints().push] if remote else [],
            metrics=[
                partial(transfers.mirror_directory, self.paths.metrics, uri)
                for uri in (self._places.metrics, os.environ.get(_LIVE_CURVES_VARIABLE, ""))
                if not storage.is_local(uri)
            ],
        )

    def publish(self) -> None:
        """Takes the metrics and the saved model to where they belong.

        Raises:
            UserError: If that fails; the checkpoints still hold the tuned model.
        """
        fix = "Mend that and run the same command again: it saves the model without training."
        for uri, path, name, last in (
            (self._places.metrics, self.paths.metrics, "metrics", ()),
            (self._places.output, self.paths.output, "output", _WRITTEN_LAST),
        ):
            if not storage.is_local(uri):
                with storage.failures_explained(f"write {uri}", name, fix):
                    transfers.mirror_directory(path, uri, last)
                logger.info("Copied the %s to %s.", name, uri)

    def _checkpoints(self) -> RemoteCheckpoints:
        return RemoteCheckpoints(self.paths.checkpoints, self._places.checkpoints)


@contextmanager
def staged(places: TuningPlaces, *, publishes: bool = True) -> Iterator[Staging]:
    """Gives a run its places on this machine, and takes its results away.

    Args:
        places: Where the run reads and writes.
        publishes: Whether its results are taken away, if the block succeeds.

    Yields:
        The staging, with the datasets. In a process that was launched as one of several it is what
        the first process has staged, and that one takes the results away.

    Raises:
        UserError: If what is remote cannot be read or written.
    """
    given = os.environ.get(SCRATCH_VARIABLE)
    if given:
        yield Staging(places, Path(given))
        return
    remote = [uri for uri in places.folders if not storage.is_local(uri)]
    if remote and processes.are_launched():
        raise UserError(
            Problem(
                f"{remote[0]} is not on this machine, and this is one of several processes.",
                fix="Leave torchrun out: the command starts a process for every GPU by itself, "
                "or as many as --processes says.",
            )
        )
    # One that is killed leaves a copy of the model; the next one of this user deletes it.
    prefix = f"kfp-llm-tuning-{os.getuid()}-"
    with scratch_folder(Path(tempfile.gettempdir()), prefix) as scratch:
        staging = Staging(places, scratch)
        staging.fetch_datasets()
        yield staging
        if publishes:
            staging.publish()
