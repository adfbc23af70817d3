"""The checks on options of the Kubeflow platform: form first, then what belongs together."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from kfp_llm_tuning.components.common.documents import unknown_names
from kfp_llm_tuning.components.common.errors import Problem, collect
from kfp_llm_tuning.components.common.registry_location import (
    checked_registry_uri,
    credentials_problem,
)
from kfp_llm_tuning.components.common.storage import is_local, local_path
from kfp_llm_tuning.components.common.wording import short
from kfp_llm_tuning.pipelines.graphs.platform import Role
from kfp_llm_tuning.pipelines.kubeflow.machines import gpu_count

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

    from kfp_llm_tuning.pipelines.kubeflow.options import KubeflowOptions, PodOptions

# More are not told anyway.
_MOST_ERRORS = 200
# What the engines do in the tasks of a role; in those of others none runs.
_STAGES = {Role.TUNER: "tune", Role.PREDICTOR: "predict"}


def check_schema(given: Any, schema: Any) -> Iterator[Problem]:
    """Checks names, types and forms.

    Args:
        given: What a user's file holds.
        schema: The content of options.schema.json.

    Yields:
        Everything that is wrong.
    """
    import jsonschema

    validator = jsonschema.validators.validator_for(schema)(schema)
    errors = sorted(
        islice(validator.iter_errors(given), _MOST_ERRORS), key=lambda error: error.json_path
    )
    # An entry that lacks two names is two errors, which are told as one.
    yield from dict.fromkeys(problem for error in errors for problem in _error_problems(error))


def _error_problems(error: ValidationError) -> Iterator[Problem]:
    place = error.json_path.removeprefix("$").removeprefix(".")
    if error.validator == "additionalProperties":
        known = list(error.schema["properties"])
        unknown = sorted(set(map(str, error.instance)) - set(known))
        fix = f"The options are {', '.join(known)}."
        yield from unknown_names(
            unknown, known, "unknown option.", fix, f"{place}." if place else ""
        )
    elif error.validator == "required":
        missing = [name for name in error.validator_value if name not in error.instance]
        yield Problem(f"{', '.join(missing)} is missing.", place)
    else:
        allowed = error.schema.get("description") or ", ".join(
            repr(value) if value == "" else str(value) for value in error.schema.get("enum", [])
        )
        yield Problem(f"{short(error.instance)} cannot be here.", place, allowed)


def check_options(options: KubeflowOptions) -> Iterator[Problem]:
    """Checks what belongs together.

    Args:
        options: Of the right form.

    Yields:
        Everything that would fail, or be lost, on the cluster.
    """
    for role in Role:
        yield from _check_pod(f"tasks.{role}", options.tasks.of(role), _STAGES.get(role, ""))
    yield from _check_pod("kserve", options.kserve, "serve")
    if options.kserve.min_replicas > options.kserve.max_replicas:
        yield Problem("is more than max_replicas.", "kserve.min_replicas")
    if options.run_volume.size and not options.run_volume.storage_class:
        yield Problem("is empty.", "run_volume.storage_class", "a storage class of the cluster")
    if options.mlflow_tracking_uri:
        yield from _check_registry(options.mlflow_tracking_uri)
    yield from _check_checkpoint_root(options)
    yield from _check_names(options)


def _check_pod(place: str, pod: PodOptions, stage: str) -> Iterator[Problem]:
    from kubernetes.utils import parse_quantity

    problems: list[Problem] = []
    with collect(problems):
        gpu_count(pod.machine, pod.accelerator_count, stage)
    for problem in problems:
        name = "accelerator_count" if problem.where == "accelerator_count" else "machine"
        yield dataclasses.replace(problem, where=f"{place}.{name}")
    for kind in ("cpu", "memory"):
        request, limit = getattr(pod, f"{kind}_request"), getattr(pod, f"{kind}_limit")
        if request and limit and parse_quantity(request) > parse_quantity(limit):
            yield Problem(f"is more than {kind}_limit, {limit}.", f"{place}.{kind}_request")
    for number, toleration in enumerate(pod.tolerations):
        where = f"{place}.tolerations[{number}]"
        if not toleration.key and toleration.operator != "Exists":
            yield Problem("has no key.", where, "operator: Exists, to tolerate every taint")
        if toleration.operator == "Exists" and toleration.value:
            yield Problem("has a value.", where, fix="Exists asks for a key only.")
        if toleration.toleration_seconds and toleration.effect != "NoExecute":
            yield Problem("has toleration_seconds.", where, "that with effect: NoExecute")


def _check_names(options: KubeflowOptions) -> Iterator[Problem]:
    """Checks that nothing in a pod has the name or the path of something else."""
    roles: dict[tuple[str, str, str], list[str]] = {}
    for role in Role:
        for told in _taken_twice(role, options):
            roles.setdefault(told, []).append(role)
    for (where, name, what), found in roles.items():
        yield Problem(f"{name} {what} (in the tasks of {', '.join(found)}).", where)


def _taken_twice(role: Role, options: KubeflowOptions) -> Iterator[tuple[str, str, str]]:
    claims = [claim for claim in options.claims if role in claim.tasks]
    files = [secret for secret in options.secret_files if role in secret.tasks]
    paths = [claim.mount_path for claim in claims] + [secret.mount_path for secret in files]
    if options.scratch.size and role in (Role.TUNER, Role.PREDICTOR):
        paths.append(options.scratch.mount_path)
    if options.run_volume.size and role is Role.TUNER:
        paths.append(options.run_volume.mount_path)
    variables = list(options.environment)
    for secret in options.secret_environment:
        variables += secret.keys.values() if role in secret.tasks else []
    volumes = [claim.claim for claim in claims] + [secret.secret for secret in files]
    for where, what, names in (
        ("claims, secret_files", "is mounted twice, and KFP names a volume after it", volumes),
        ("mount_path", "has two volumes", paths),
        ("environment, secret_environment", "has two values", variables),
    ):
        yield from ((where, name, what) for name, times in Counter(names).items() if times > 1)


def _check_registry(uri: str) -> Iterator[Problem]:
    problems: list[Problem] = []
    with collect(problems):
        checked_registry_uri(uri)
    for problem in problems:
        yield dataclasses.replace(problem, where="mlflow_tracking_uri")
    if secret := credentials_problem(uri, "mlflow_tracking_uri"):
        yield secret


def _check_checkpoint_root(options: KubeflowOptions) -> Iterator[Problem]:
    root = options.checkpoint_root
    if options.train_job.enabled and not root:
        what = "is empty: a TrainJob's nodes and the task that makes it share no folder."
        allowed = "a URI, or a path on a claim that many nodes may mount"
        yield Problem(what, "checkpoint_root", allowed)
    if not root or not is_local(root):
        return
    mounts = [claim.mount_path for claim in options.claims if Role.TUNER in claim.tasks]
    if not any(local_path(root).is_relative_to(mount) for mount in mounts):
        yield Problem(
            f"{root} is in the tuner's pod: a retry finds nothing there.",
            "checkpoint_root",
            "a URI, or a path on a claim of the tuner's",
        )
