"""One start of the tuner: brings what is remote, tunes in one process or several, takes it away."""

from __future__ import annotations

import dataclasses
import json
import logging
from typing import Any

from kfp_llm_tuning.components.common import storage
from kfp_llm_tuning.components.models.checkpoint_files import PROVENANCE
from kfp_llm_tuning.components.models.model_references import resolve
from kfp_llm_tuning.components.tracking.live_curves import live_curves
from kfp_llm_tuning.components.tuning.arguments import TuningArguments
from kfp_llm_tuning.components.tuning.command_line import MODULE, options
from kfp_llm_tuning.components.tuning.engine import ENGINE_VARIABLE, chosen_engine
from kfp_llm_tuning.components.tuning.launch import launch, processes_to_start
from kfp_llm_tuning.components.tuning.lost_processes import loss_is_an_interruption
from kfp_llm_tuning.components.tuning.machines import Machines, machines_of_run
from kfp_llm_tuning.components.tuning.places import TuningPlaces
from kfp_llm_tuning.components.tuning.processes import are_launched, is_main
from kfp_llm_tuning.components.tuning.publication import Publication
from kfp_llm_tuning.components.tuning.run_identity import RunIdentity, identify
from kfp_llm_tuning.components.tuning.staging import SCRATCH_VARIABLE, Staging, staged
from kfp_llm_tuning.components.tuning.this_machine import check_this_machine
from kfp_llm_tuning.components.tuning.tuning_sets import open_sets

logger = logging.getLogger(__name__)


def run(
    arguments: TuningArguments, places: TuningPlaces, processes: int = 0, engine: str = ""
) -> dict[str, Any]:
    """Tunes a model, or goes on where an interrupted run stopped, and saves it.

    Where the run is spread over several machines it is called on each, and waits for the others.

    Args:
        arguments: What to do.
        places: Where to read and write.
        processes: How many processes of a machine share the batch; 0 means one for each GPU.
        engine: One of ``engine.ENGINES``; empty for the one that this image is made for.

    Returns:
        The content of the saved model's tuning.json; empty on all machines but the first.

    Raises:
        UserError: For a mistake in arguments or data, or a place that cannot be read or written.
        RunAgain: If interrupted, after a checkpoint was saved.
        SystemExit: If one of several processes failed; it has told why.
    """
    engine = chosen_engine(engine)
    check_this_machine(arguments.tuning)
    machines = Machines() if are_launched() else machines_of_run()
    if machines.count > 1:
        return _run_on_machines(arguments, places, processes, machines, engine)
    with staged(places) as staging:
        staging.fetch_checkpoints()
        count = processes_to_start(processes, arguments.batch_size)
        if count > 1:
            launch(count, _command(arguments, places), _variables(staging, engine))
        else:
            with loss_is_an_interruption():
                _tune_here(arguments, staging, places.tracking_uri, engine)
        return _facts(str(staging.paths.output)) if is_main() else {}


def _run_on_machines(
    arguments: TuningArguments,
    places: TuningPlaces,
    processes: int,
    machines: Machines,
    engine: str,
) -> dict[str, Any]:
    """Does this machine's part of a run that is spread over several."""
    count = processes_to_start(processes, arguments.batch_size, machines)
    # The first takes the results away before it says so to the others.
    with staged(places, publishes=False) as staging:
        publication = Publication(places, machines, _identity(arguments, staging).fingerprint)
        publication.attend()
        if publication.is_announced():
            logger.info("This run is done: its results are in place.")
        else:
            staging.fetch_checkpoints()
            variables = _variables(staging, engine)
            launch(count, _command(arguments, places), variables, machines, publication)
            if machines.is_first:
                staging.publish()
                publication.announce(staging.scratch)
    return _facts(places.output) if machines.is_first else {}


def _command(arguments: TuningArguments, places: TuningPlaces) -> list[str]:
    """Arguments of the Python interpreter, for each of several processes."""
    return ["-m", MODULE, *options(arguments, places)]


def _variables(staging: Staging, engine: str) -> dict[str, str]:
    return {SCRATCH_VARIABLE: str(staging.scratch), ENGINE_VARIABLE: engine}


def _identity(arguments: TuningArguments, staging: Staging) -> RunIdentity:
    sets = open_sets(arguments, staging.paths.train_dataset, staging.paths.evaluation_dataset)
    return identify(arguments, resolve(arguments.model_reference), sets)


def _facts(output: str) -> dict[str, Any]:
    """Reads the saved model's provenance."""
    with storage.open_input(storage.join(output, PROVENANCE)) as stream:
        facts: dict[str, Any] = json.loads(stream.read())
    return facts


def _tune_here(
    arguments: TuningArguments, staging: Staging, tracking_uri: str, engine: str
) -> None:
    # A process that only starts others never loads the trainer.
    from kfp_llm_tuning.components.tuning.live_tracking import LiveTracking
    from kfp_llm_tuning.components.tuning.tune import tune

    name = arguments.display_name or arguments.model_reference
    mirror = staging.mirror()
    tracking = LiveTracking(
        lambda: live_curves(tracking_uri, name, arguments.report_to, dataclasses.asdict(arguments))
    )
    try:
        tune(arguments, staging.paths, [mirror, tracking, *_train_job_status()], engine)
    finally:
        mirror.wait()
        tracking.close()


def _train_job_status() -> list[Any]:
    """Makes what reports to the TrainJob's status, where a Kubeflow Trainer asks for that."""
    from transformers.integrations import KubeflowCallback, is_kubeflow_available

    return [KubeflowCallback()] if is_kubeflow_available() else []
