"""The checks on what a pipeline was compiled for: its registry, its accelerator, its backend."""

from __future__ import annotations

import dataclasses
import re

from kfp_llm_tuning.components.common.credentials import has_credentials
from kfp_llm_tuning.components.common.errors import Problem, collect
from kfp_llm_tuning.components.common.registry_location import (
    checked_registry_uri,
    credentials_problem,
)
from kfp_llm_tuning.components.common.wording import short
from kfp_llm_tuning.components.models.implemented import no_engine
from kfp_llm_tuning.components.validation.display_names import has_time_placeholder, is_known_time
from kfp_llm_tuning.components.validation.pipeline_inputs import PipelineParameters
from kfp_llm_tuning.components.validation.regions import ACCELERATORS

_URI = re.compile(r"[\w+.:-]+://\S+$")
_SQLITE = "sqlite:"
# With the third slash of the URI and the first of the path.
_ABSOLUTE_SQLITE = "sqlite:////"


def check_registry(parameters: PipelineParameters) -> list[Problem]:
    """Checks that the model has a registry, and that later tasks reach it."""
    uri = parameters.registry
    if not uri:
        return [] if parameters.traits.has_own_registry else [_no_registry()]
    problems: list[Problem] = []
    with collect(problems):
        checked_registry_uri(uri)
    if secret := credentials_problem(uri):
        problems.append(secret)
    if uri.startswith(_SQLITE) and _is_lost(parameters, uri):
        what = f"{short(uri)} is a file that no other task sees."
        problems.append(Problem(what, "registry_uri", "an MLflow server, such as http://HOST:5000"))
    return problems


def check_credentials(parameters: PipelineParameters) -> list[Problem]:
    """Checks that no URI brings a password or a signature: inputs are kept in the open."""
    fix = (
        "Leave it out and let the environment open the place: AWS_ACCESS_KEY_ID, "
        "GOOGLE_APPLICATION_CREDENTIALS, FSSPEC_<PROTOCOL>_<ARGUMENT>; or copy the file."
    )
    return [
        Problem(
            f"{short(value)} holds a secret, and inputs of a pipeline are written to logs, records "
            "and specifications.",
            name,
            fix=fix,
        )
        for name, value in dataclasses.asdict(parameters).items()
        if isinstance(value, str)
        and name not in ("registry_uri", "platform_registry_uri")
        and _URI.match(value)
        and has_credentials(value)
    ]


def _no_registry() -> Problem:
    return Problem(
        "is empty, and the pipeline was compiled without a registry.",
        "registry_uri",
        "an MLflow tracking URI, such as http://mlflow.NAMESPACE:5000",
        "Give registry_uri, or compile with the option mlflow_tracking_uri.",
    )


def _is_lost(parameters: PipelineParameters, uri: str) -> bool:
    """Tells whether a SQLite file is no volume's: pods of Kubeflow may have one in common."""
    mounted = parameters.traits.mounts_volumes and uri.startswith(_ABSOLUTE_SQLITE)
    return not parameters.traits.runs_here and not mounted


def check_compiled_accelerator(parameters: PipelineParameters) -> list[Problem]:
    """Checks that a run asks for the accelerator that its pipeline was compiled for."""
    given, compiled = parameters.accelerator_type.strip().upper(), parameters.platform_accelerator
    if not compiled or given in ("", compiled):
        return []
    fix = "Leave it empty, or compile with another option tasks.tuner.machine."
    if given in ACCELERATORS and (refusal := no_engine("tune", given)):
        fix = f"Leave it empty: {refusal}"
    machine = "a machine without an accelerator" if compiled == "CPU" else f"a {compiled} machine"
    return [
        Problem(
            f"{given} is asked for, but the pipeline was compiled for {machine}.",
            "accelerator_type",
            "empty" if compiled == "CPU" else f"{compiled}, or empty",
            fix,
        )
    ]


def check_run_time(parameters: PipelineParameters) -> list[Problem]:
    """Checks that a display name with a date gets one."""
    known = not parameters.run_time or is_known_time(parameters.run_time)
    if known or not has_time_placeholder(parameters.model_display_name):
        return []
    return [
        Problem(
            "this version of Kubeflow Pipelines does not say when a run was created.",
            "model_display_name",
            "a name without {date} and {time}",
            "Update Kubeflow Pipelines, or write the date into the name.",
        )
    ]
