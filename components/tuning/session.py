"""One start of the tuner: brings what is remote, tunes in one process or several, takes it away."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from kfp_llm_tuning.components.models.checkpoint_files import PROVENANCE
from kfp_llm_tuning.components.tracking.live_curves import live_curves
from kfp_llm_tuning.components.tuning.arguments import TuningArguments
from kfp_llm_tuning.components.tuning.command_line import MODULE, options
from kfp_llm_tuning.components.tuning.engine import ENGINE_VARIABLE, chosen_engine
from kfp_llm_tuning.components.tuning.launch import launch, processes_to_start
from kfp_llm_tuning.components.tuning.lost_processes import loss_is_an_interruption
from kfp_llm_tuning.components.tuning.machines import Machines, machines_of_run
from kfp_llm_tuning.components.tuning.places import TuningPlaces
from kfp_llm_tuning.components.tuning.processes import are_launched, is_main
from kfp_llm_tuning.components.tuning.staging import SCRATCH_VARIABLE, Staging, staged
from kfp_llm_tuning.components.tuning.this_machine import check_this_machine


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
    with staged(places, publishes=machines.is_first) as staging:
        count = processes_to_start(processes, arguments.batch_size, machines)
        if count > 1 or machines.count > 1:
            variables = {SCRATCH_VARIABLE: str(staging.scratch), ENGINE_VARIABLE: engine}
            launch(count, ["-m", MODULE, *options(arguments, places)], variables, machines)
        else:
            with loss_is_an_interruption():
                _tune_here(arguments, staging, places.tracking_uri, engine)
        if not (machines.is_first and is_main()):
            return {}
        provenance = staging.paths.output / PROVENANCE
        facts: dict[str, Any] = json.loads(provenance.read_text(encoding="utf-8"))
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
