"""Looks at everything that a run on Kubeflow needs, whatever is found, and estimates the run."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kfp_llm_tuning.components.common.errors import Problem, UserError, collect
from kfp_llm_tuning.components.common.platforms import KUBEFLOW
from kfp_llm_tuning.components.common.storage import is_local
from kfp_llm_tuning.components.common.wording import counted
from kfp_llm_tuning.components.data.sources.files import (
    check_stores_reached,
    list_files,
    split_list,
)
from kfp_llm_tuning.components.models.machine_specs import select_machine
from kfp_llm_tuning.pipelines.kubeflow import runs
from kfp_llm_tuning.pipelines.kubeflow.package import Package
from kfp_llm_tuning.pipelines.kubeflow.planning.cluster_checks import check_cluster
from kfp_llm_tuning.pipelines.kubeflow.planning.pod_room import PodRoom
from kfp_llm_tuning.pipelines.kubeflow.pod_needs import ClusterNeeds, cluster_needs
from kfp_llm_tuning.pipelines.kubeflow.run_settings import (
    RunSettings,
    path_problems,
    settings_problems,
    settle,
)
from kfp_llm_tuning.pipelines.planning.checks import Check, looked_at
from kfp_llm_tuning.pipelines.planning.dataset_check import check_dataset
from kfp_llm_tuning.pipelines.planning.estimate import Estimate
from kfp_llm_tuning.pipelines.planning.plan import Plan
from kfp_llm_tuning.pipelines.planning.planned_run import PlannedRun, Tuner
from kfp_llm_tuning.pipelines.requests.request_check import checked_parameters

if TYPE_CHECKING:
    from kfp_llm_tuning.pipelines.kubeflow.connection import Connection
    from kfp_llm_tuning.pipelines.kubeflow.options import KubeflowOptions
    from kfp_llm_tuning.pipelines.kubeflow.package_source import PackageSource
    from kfp_llm_tuning.pipelines.requests.request import Request

# Where Kubeflow Pipelines for one user is installed, and its pods run.
_DEFAULT_NAMESPACE = "kubeflow"
# What a storage says of data that is not there, or of a URI that is none.
_ANSWERS = (FileNotFoundError, IsADirectoryError, ValueError)


@dataclass(frozen=True)
class _Settled:
    """What could be settled without asking anybody; None where something is wrong with it."""

    request: Request
    settings: RunSettings
    options: KubeflowOptions | None
    package: Package | None


def make_plan(
    connection: Connection,
    settings: RunSettings,
    packages: PackageSource,
    given: Request,
    machine_price: float | None = None,
) -> Plan:
    """Looks at everything.

    Args:
        connection: Where Kubeflow Pipelines is.
        settings: What the run has beside its template and its parameters.
        packages: Where what it runs comes from.
        given: What to run.
        machine_price: US dollars an hour of the tuner's machine; None where it is not known.

    Returns:
        The plan; nothing was changed.
    """
    settled, checks = _settle(settle(given, settings, connection.namespace), packages)
    run, parameter_checks = _check_parameters(settled)
    checks = [*parameter_checks, *checks]
    needs = cluster_needs(settled.package.documents) if settled.package else ClusterNeeds()
    if settled.package:
        checks.append(_where_it_tunes(run, needs))
    if room := PodRoom.of(run, settled.options):
        checks += room.checks()
        needs = room.with_disks(needs)
    checks += looked_at("API server", lambda: _check_api(connection, settled.settings))
    namespace = connection.namespace or _DEFAULT_NAMESPACE
    context, account = connection.kube_context, settled.settings.service_account
    checks += check_cluster(context, namespace, needs, account)
    tuner = _tuner(run, settled.options, machine_price)
    if needs.runtime:
        tuner = dataclasses.replace(tuner, count=int(run.value("tuning_machine_count")))
    dataset_checks, estimate = _check_dataset(run, tuner)
    return Plan((*checks, *dataset_checks), estimate)


def _where_it_tunes(run: PlannedRun, needs: ClusterNeeds) -> Check:
    if not needs.runtime:
        return Check("tuner", "ok", "it tunes in its task's own pod.")
    nodes = counted(int(run.value("tuning_machine_count")), "node")
    return Check(
        "tuner", "ok", f"it tunes in a TrainJob of {nodes}, of the runtime {needs.runtime}."
    )


def _settle(
    given: tuple[Request, RunSettings, tuple[str, ...]], packages: PackageSource
) -> tuple[_Settled, list[Check]]:
    request, settings, notes = given
    problems: list[Problem] = []
    options, package = None, None
    with collect(problems):
        options = packages.options()
        package = packages.package(request, settings)
    checks = [Check.of("template", problem) for problem in problems]
    checks += [Check.of("job", problem) for problem in settings_problems(settings)]
    checks += [Check("job", "warning", note) for note in notes]
    if package:
        text = f"{package.name} is compiled, its images have a registry."
        checks.append(Check("template", "ok", text))
    return _Settled(request, settings, options, package), checks


def _check_parameters(settled: _Settled) -> tuple[PlannedRun, list[Check]]:
    place = settled.package.place if settled.package else {"platform": KUBEFLOW.name}
    request = settled.request
    parameters: dict[str, Any] = {}
    checked = None
    problems: list[Problem] = []
    checks = []
    with collect(problems):
        parameters, checked = checked_parameters(request, place)
        problems += path_problems(parameters)
        checks.append(Check("parameters", "ok", f"{len(parameters)} parameters are valid."))
        checks += [Check("parameters", "warning", text) for text in checked.warnings]
    if problems:
        checks = [Check.of("parameters", problem) for problem in problems]
    return PlannedRun(request.template, {**request.values, **parameters}, checked), checks


def _check_api(connection: Connection, settings: RunSettings) -> list[Check]:
    api = connection.open()
    users = f"the namespace {api.namespace}" if api.namespaced else "one user"
    checks = [Check("API server", "ok", f"{api.client.server} answers, for {users}.")]
    found = runs.find_experiment(api, settings.experiment)
    if found is None:
        text = f"{settings.experiment} is made by the run."
    elif found.storage_state == "ARCHIVED":
        fix = "Restore it in the user interface, or give another --experiment."
        what = f"{settings.experiment} is archived."
        return [*checks, Check("experiment", "warning", what, fix)]
    else:
        text = f"{settings.experiment} is there."
    return [*checks, Check("experiment", "ok", text)]


def _check_dataset(run: PlannedRun, tuner: Tuner) -> tuple[list[Check], Estimate | None]:
    unread = [*_out_of_reach(run)]
    return (unread, None) if unread else check_dataset(run, tuner)


def _out_of_reach(run: PlannedRun) -> Iterator[Check]:
    """Finds data that the cluster may read, and this machine cannot."""
    for name in ("dataset_uri", "evaluation_data_uri"):
        uri = str(run.value(name))
        if uri and any(map(is_local, split_list(uri))):
            what = f"{uri} is on a volume of the cluster: it is not validated, nor estimated."
            yield Check("dataset", "unknown", what)
        elif uri:
            try:
                check_stores_reached(uri)
                list_files(uri)
            except UserError as error:
                if not isinstance(error.__cause__, _ANSWERS):
                    problem = error.problems[0]
                    what = f"{problem.what.rstrip('.')}, from here: the cluster may all the same."
                    yield Check("dataset", "unknown", what, problem.fix)


def _tuner(run: PlannedRun, options: KubeflowOptions | None, price: float | None) -> Tuner:
    machine, part = "", 1.0
    if run.checked and run.checked.machine:
        machine = run.checked.machine.name
    elif options and options.tasks.tuner.machine:
        pod = options.tasks.tuner
        machine, whole = pod.machine, select_machine("", pod.machine).accelerator_count
        part = pod.accelerator_count / whole if pod.accelerator_count and whole else 1.0
    deploys = bool(options and options.kserve.enabled and run.value("deploy_model"))
    return Tuner(machine, part, price=price, listed_prices=False, deploys=deploys)
