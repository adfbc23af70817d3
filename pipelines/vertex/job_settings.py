"""What a pipeline job has beside its template and its parameters."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kfp_llm_tuning.components.common.errors import Problem
from kfp_llm_tuning.pipelines.jobs.job_ids import JOB_ID, JOB_ID_FORM, new_job_id
from kfp_llm_tuning.pipelines.requests.request import Request

_BUCKET_URI = re.compile(r"gs://[a-z0-9][a-z0-9._-]{1,220}[a-z0-9](/[^\n\r]*)?")
_PERSISTENT_RESOURCE = re.compile(
    r"((projects/[^/\s]+/locations/[^/\s]+/persistentResources/)?[a-z][a-z0-9-]{0,62})?"
)
# Vertex AI takes letters of every script that have no upper case; only these are refused.
_LABEL = re.compile(r"[\w-]{0,63}")
_MAX_LABELS = 64


@dataclass(frozen=True)
class JobSettings:
    """What a pipeline job has beside its template and its parameters.

    Attributes:
        project: Id or number of the project.
        region: Region that the pipeline runs in.
        pipeline_root: Folder in a bucket for the files of all runs.
        job_id: Id of the job: a second job of the same id is never made.
        display_name: Name of the job.
        service_account: Account that the tasks run as; empty for the project's default.
        network: Full name of the VPC network that the tasks are peered with.
        reserved_ip_ranges: Names of IP ranges of that network.
        encryption_key: Customer-managed key of everything that the job makes.
        psc_interface: Private Service Connect settings, as in the REST body.
        persistent_resource: Machines kept for several jobs, by id or full name; empty for none.
        labels: Of the job and of the model.
    """

    project: str = ""
    region: str = ""
    pipeline_root: str = ""
    job_id: str = ""
    display_name: str = ""
    service_account: str = ""
    network: str = ""
    reserved_ip_ranges: tuple[str, ...] = ()
    encryption_key: str = ""
    psc_interface: Mapping[str, Any] = field(default_factory=dict)
    persistent_resource: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def persistent_resource_name(self) -> str:
        """Full resource name of the machines kept for several jobs; empty for none."""
        name = self.persistent_resource
        if not name or "/" in name:
            return name
        return f"projects/{self.project}/locations/{self.region}/persistentResources/{name}"


def settle(request: Request, given: JobSettings) -> tuple[Request, JobSettings]:
    """Completes the settings and the parameters from one another.

    The published interface says some things twice: the project, the encryption key, the network
    attachment. What is said once is filled in at the other place.

    Args:
        request: What to run.
        given: The options, which take precedence over what the request says.

    Returns:
        The request and the settings, complete but not yet checked.
    """
    values, cloud = dict(request.values), request.cloud
    psc = dict(given.psc_interface or cloud.get("pscInterfaceConfig") or {})
    attachment = values.get("network_attachment") or psc.get("networkAttachment") or ""
    key = str((cloud.get("encryptionSpec") or {}).get("kmsKeyName") or "")
    if attachment:
        psc.setdefault("networkAttachment", attachment)
        values["network_attachment"] = attachment
    if key:
        values.setdefault("encryption_spec_key_name", key)
    if given.project:
        values.setdefault("project", given.project)
    template, name = request.template, str(values.get("model_display_name", ""))
    settings = dataclasses.replace(
        given,
        project=str(values.get("project", "")),
        region=given.region or str(values.get("location") or ""),
        pipeline_root=given.pipeline_root or request.pipeline_root,
        job_id=given.job_id or new_job_id(template),
        display_name=given.display_name or request.display_name or name[:128] or template,
        service_account=given.service_account or cloud.get("serviceAccount", ""),
        network=given.network or cloud.get("network", ""),
        reserved_ip_ranges=given.reserved_ip_ranges or tuple(cloud.get("reservedIpRanges", ())),
        encryption_key=key or str(values.get("encryption_spec_key_name") or ""),
        psc_interface=psc,
        labels={**request.labels, **given.labels},
    )
    return dataclasses.replace(request, values=values), settings


def settings_problems(settings: JobSettings, parameters: Mapping[str, Any]) -> list[Problem]:
    """Checks the settings.

    Args:
        settings: From ``settle``.
        parameters: The job's parameters.

    Returns:
        All that is wrong.
    """
    problems = []
    if not settings.pipeline_root:
        what, fix = "a folder for the run's files is needed.", "Give --pipeline-root."
        problems.append(Problem(what, "--pipeline-root", "gs://BUCKET/FOLDER", fix))
    elif not _BUCKET_URI.fullmatch(settings.pipeline_root):
        what = f"{settings.pipeline_root!r} is no folder of a bucket."
        problems.append(Problem(what, "--pipeline-root", "gs://BUCKET/FOLDER"))
    if not JOB_ID.fullmatch(settings.job_id):
        problems.append(Problem(f"{settings.job_id!r} is no job id.", "--job-id", JOB_ID_FORM))
    name = settings.display_name
    if len(name) > 128 or not name.isprintable():
        allowed = "at most 128 printable characters"
        problems.append(Problem(f"{name!r} cannot name a job.", "--job-name", allowed))
    if settings.network and settings.psc_interface:
        what = "a VPC network and a network attachment exclude one another."
        problems.append(Problem(what, "--network, --network-attachment", fix="Give one of them."))
    key = parameters.get("encryption_spec_key_name", "")
    if settings.encryption_key != key:
        what = f"the job has {settings.encryption_key}, and the parameter {key or 'none'}."
        problems.append(Problem(what, "encryptionSpec, encryption_spec_key_name", "one key"))
    if not _PERSISTENT_RESOURCE.fullmatch(settings.persistent_resource):
        what = f"{settings.persistent_resource!r} names no persistent resource."
        allowed = "its id, or projects/PROJECT/locations/REGION/persistentResources/ID"
        problems.append(Problem(what, "--persistent-resource", allowed))
    return problems + _label_problems(settings.labels)


def _label_problems(labels: Mapping[str, str]) -> list[Problem]:
    allowed = "lower-case letters, digits, _ and -, at most 63, keys from a letter on"
    problems = [
        Problem(f"{key}={value} is no label of Google Cloud.", "--label", allowed)
        for key, value in labels.items()
        if not key[:1].isalpha() or not _is_label(key) or not _is_label(value)
    ]
    if len(labels) > _MAX_LABELS:
        what = f"there are {len(labels)} labels."
        problems.append(Problem(what, "--label", f"at most {_MAX_LABELS}"))
    return problems


def _is_label(text: str) -> bool:
    return text == text.lower() and _LABEL.fullmatch(text) is not None
