"""The machines that a run is spread over, as whoever started it on each of them tells.

Vertex AI describes the job in ``CLUSTER_SPEC``
(https://cloud.google.com/vertex-ai/docs/training/distributed-training#cluster-variables). Kubeflow
Trainer gives the variables of torchrun, ``PET_*`` (its constants and its torch plugin), and so may
anybody who starts the command on machines of his own.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.tuning.this_machine import CLUSTER_VARIABLE

COUNT_VARIABLE, INDEX_VARIABLE = "PET_NNODES", "PET_NODE_RANK"
ADDRESS_VARIABLE, PORT_VARIABLE = "PET_MASTER_ADDR", "PET_MASTER_PORT"
# Vertex AI's.
_JOB_VARIABLE = "CLOUD_ML_JOB_ID"
# torchrun's.
_DEFAULT_PORT = 29400


@dataclass(frozen=True)
class Machines:
    """The machines of a run, seen from one of them.

    Attributes:
        count: How many.
        index: Which one this is; the first, 0, writes what comes of the run.
        address: Where the others find the first.
        port: The port of it that they meet at; 0 for any, where there is one machine.
        job: Id of the service's job that they were started for; empty where none tells.
    """

    count: int = 1
    index: int = 0
    address: str = "localhost"
    port: int = 0
    job: str = ""

    @property
    def is_first(self) -> bool:
        """Whether this is the machine that writes."""
        return self.index == 0


def machines_of_run(environment: Mapping[str, str] = os.environ) -> Machines:
    """Reads which machines there are.

    Args:
        environment: The variables of this process.

    Returns:
        Them; one where nothing is said of others.

    Raises:
        UserError: If there are several, and which one this is cannot be read.
    """
    if COUNT_VARIABLE in environment:
        return _of_torchrun(environment)
    machines = _of_vertex(environment.get(CLUSTER_VARIABLE, ""))
    return dataclasses.replace(machines, job=environment.get(_JOB_VARIABLE, ""))


def _of_torchrun(environment: Mapping[str, str]) -> Machines:
    try:
        count = int(environment[COUNT_VARIABLE])
        if count == 1:
            return Machines()
        index, address = int(environment[INDEX_VARIABLE]), environment[ADDRESS_VARIABLE]
        port = int(environment.get(PORT_VARIABLE) or _DEFAULT_PORT)
    except (KeyError, ValueError) as error:
        what = (
            f"{COUNT_VARIABLE} is set, but which machine of them this is cannot be read: {error}."
        )
        allowed = f"{COUNT_VARIABLE}, {INDEX_VARIABLE} and {PORT_VARIABLE} numbers, and "
        raise UserError(Problem(what, COUNT_VARIABLE, f"{allowed}{ADDRESS_VARIABLE}")) from error
    if not 0 <= index < count:
        what = f"this would be machine {index} of {count}."
        raise UserError(Problem(what, INDEX_VARIABLE, f"from 0 to {count - 1}"))
    return Machines(count, index, address, port)


def _of_vertex(cluster: str) -> Machines:
    """Reads ``CLUSTER_SPEC``; machines are counted pool by pool, the primary replica's first."""
    try:
        found: dict[str, Any] = json.loads(cluster)
        pools: dict[str, list[str]] = dict(sorted(found["cluster"].items()))
        replicas = [address for pool in pools.values() for address in pool]
    except (ValueError, KeyError, TypeError, AttributeError):
        return Machines()
    if len(replicas) <= 1:
        return Machines()
    address, _, port = replicas[0].partition(":")
    try:
        own = pools[found["task"]["type"]][int(found["task"]["index"])]
        return Machines(len(replicas), replicas.index(own), address, int(port or _DEFAULT_PORT))
    except (ValueError, KeyError, TypeError, LookupError) as error:
        # Each for itself, they would all write to one folder.
        what = f"{CLUSTER_VARIABLE} names {len(replicas)} replicas, and not which of them this is."
        raise UserError(Problem(what, CLUSTER_VARIABLE, "what Vertex AI sets")) from error
