"""What a run on Kubeflow has beside its template and its parameters."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from kfp_llm_tuning.components.common.errors import Problem
from kfp_llm_tuning.components.common.storage import is_local, local_path
from kfp_llm_tuning.components.data.sources.files import split_list
from kfp_llm_tuning.pipelines.jobs.job_ids import JOB_ID, JOB_ID_FORM, new_job_id
from kfp_llm_tuning.pipelines.requests.request import Request

EXPERIMENT_VARIABLE = "KF_PIPELINES_DEFAULT_EXPERIMENT_NAME"
_DEFAULT_EXPERIMENT = "Default"
# The service's limits: its database cuts names and descriptions off, with an error of its own.
MAX_TEXT = 255
_MAX_EXPERIMENT = 128
_ACCOUNT = re.compile(r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)?")
_JOB_KEY, _LABELS_KEY = "kfp-llm-tuning", "labels"
# Read in the tasks' pods: a path of this machine is none of theirs.
_DATASETS = ("dataset_uri", "evaluation_data_uri")
_PATHS = (*_DATASETS, "evaluation_output_root_dir")


@dataclass(frozen=True)
class RunSettings:
    """What a run has beside its template and its parameters.

    Attributes:
        pipeline_root: Where its files go; empty for the cluster's own storage.
        job_id: Names the run: a second run with the same id is never made.
        display_name: Name of the run for people.
        service_account: Account of Kubernetes that the tasks run as; empty for the default.
        experiment: That the run belongs to.
        labels: Of the run and of the model.
    """

    pipeline_root: str = ""
    job_id: str = ""
    display_name: str = ""
    service_account: str = ""
    experiment: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def note(self) -> RunNote:
        """What the run's description says of it."""
        return RunNote(self.job_id, self.labels)


@dataclass(frozen=True)
class RunNote:
    """What the description of a run or a recurring run says: KFP has no labels for them.

    Attributes:
        key: The job's id, or the digest of the request that made a recurring run.
        labels: The user's.
    """

    key: str
    labels: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """Writes the description."""
        content: dict[str, object] = {_JOB_KEY: self.key}
        if self.labels:
            content[_LABELS_KEY] = dict(self.labels)
        return json.dumps(content, ensure_ascii=False)

    @classmethod
    def parse(cls, description: str | None) -> RunNote:
        """Reads a description; one that others wrote has an empty key."""
        try:
            content = json.loads(description or "")
            return cls(str(content[_JOB_KEY]), dict(content.get(_LABELS_KEY, {})))
        except (ValueError, KeyError, TypeError):
            return cls("")


def settle(
    request: Request, given: RunSettings, namespace: str
) -> tuple[Request, RunSettings, tuple[str, ...]]:
    """Completes the settings and the parameters from one another.

    Args:
        request: What to run.
        given: The options, which take precedence over what the request says.
        namespace: The user's; may be empty.

    Returns:
        The request, the settings, and what of the request has no effect on Kubeflow.
    """
    values = dict(request.values)
    # A published root input that must be given: any name, where it is no Google Cloud project.
    values.setdefault("project", namespace or "kubeflow")
    name = str(values.get("model_display_name", ""))
    settings = dataclasses.replace(
        given,
        pipeline_root=given.pipeline_root or request.pipeline_root,
        job_id=given.job_id or new_job_id(request.template),
        display_name=given.display_name or request.display_name or name or request.template,
        experiment=given.experiment or os.environ.get(EXPERIMENT_VARIABLE) or _DEFAULT_EXPERIMENT,
        labels={**request.labels, **given.labels},
    )
    notes = tuple(f"{name} of the request has no effect on Kubeflow." for name in request.cloud)
    return dataclasses.replace(request, values=values), settings, notes


def settings_problems(settings: RunSettings) -> list[Problem]:
    """Checks the settings.

    Args:
        settings: From ``settle``.

    Returns:
        All that is wrong.
    """
    problems = []
    if not JOB_ID.fullmatch(settings.job_id):
        problems.append(Problem(f"{settings.job_id!r} is no job id.", "--job-id", JOB_ID_FORM))
    for option, text, limit in (
        ("--job-name", settings.display_name, MAX_TEXT),
        ("--experiment", settings.experiment, _MAX_EXPERIMENT),
    ):
        if not text.strip() or len(text) > limit or not text.isprintable():
            allowed = f"1 to {limit} printable characters"
            problems.append(Problem(f"{text!r} cannot be a name.", option, allowed))
    if not _ACCOUNT.fullmatch(settings.service_account):
        what = f"{settings.service_account!r} is no service account of Kubernetes."
        allowed = "its name: lower-case letters, digits, '-' and '.'"
        problems.append(Problem(what, "--service-account", allowed))
    if settings.pipeline_root and is_local(settings.pipeline_root):
        what = f"{settings.pipeline_root} is in each task's own pod."
        allowed = "a URI such as minio://BUCKET/FOLDER, s3:// or gs://, or empty for the cluster's"
        problems.append(Problem(what, "--pipeline-root", allowed))
    if len(str(settings.note)) > MAX_TEXT:
        what = f"with the job's id they are {len(str(settings.note))} characters."
        problems.append(Problem(what, "--label", f"{MAX_TEXT} in all, written as JSON"))
    return problems


def path_problems(parameters: Mapping[str, object]) -> list[Problem]:
    """Checks that no path is one of this machine.

    Args:
        parameters: The run's.

    Returns:
        A problem for every relative path: an absolute one may be on a volume of the cluster.
    """
    return [
        Problem(
            f"{part!r} is relative to a folder of this machine, which the cluster cannot read.",
            name,
            "a URI such as s3://BUCKET/FILE, or the path on a volume that is mounted there",
        )
        for name in _PATHS
        if isinstance(uri := parameters.get(name, ""), str) and uri.strip()
        for part in (split_list(uri) if name in _DATASETS else [uri])
        if is_local(part) and not local_path(part).is_absolute()
    ]
