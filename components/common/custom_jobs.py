"""CustomJobs of Vertex AI, which have no id of our own: made once all the same.

A job gets a label that follows from what is asked for, and is looked for before it is made.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from google.api_core import exceptions
from google.cloud.aiplatform_v1 import JobServiceClient
from google.cloud.aiplatform_v1.types import CustomJob, JobState

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.common.vertex import ONCE, READ, ensure
from kfp_llm_tuning.components.common.vertex_errors import explained, problem_of

# Tells the job that a task asks for from all others.
_LABEL = "kfp-llm-tuning-request"
# A request whose answer was lost is done within this time, or never.
_LATE_SECONDS = 60.0
# Jobs of earlier tries that a further try does not wait for.
_LOST = {
    JobState.JOB_STATE_FAILED,
    JobState.JOB_STATE_CANCELLING,
    JobState.JOB_STATE_CANCELLED,
    JobState.JOB_STATE_EXPIRED,
}
# What the service says where more GPUs are asked for than the project may have: no pace to keep.
_NO_QUOTA = "quota limits"


def make_once(client: JobServiceClient, parent: str, job: Mapping[str, Any], key: str) -> CustomJob:
    """Makes a job unless it is there.

    Args:
        client: Of the region.
        parent: ``projects/PROJECT/locations/LOCATION``.
        job: The CustomJob, as the client takes it.
        key: Tells it from all others, in the letters of a label.

    Returns:
        The job; one that an earlier try made, unless that came to nothing.

    Raises:
        UserError: If Vertex AI refuses.
    """
    request = _Request(client, parent, job, key)
    made = ensure(request.find, request.make, request.doing).resource
    request.cancel_all_but(made)
    return made


class _Request:
    """What makes and finds the one job."""

    def __init__(
        self, client: JobServiceClient, parent: str, job: Mapping[str, Any], key: str
    ) -> None:
        self._client, self._parent = client, parent
        self._job = CustomJob({**job, "labels": {**job.get("labels", {}), _LABEL: key}})
        self._filter = f'labels.{_LABEL}="{key}"'
        self.doing = f"start the job {job['display_name']}"
        self._requests = 0

    def find(self) -> CustomJob | None:
        return next(iter(self._all(ONCE)), None)

    def make(self) -> CustomJob:
        if self._requests:
            # The request before may be on its way still.
            time.sleep(_LATE_SECONDS)
            if late := self.find():
                return late
        self._requests += 1
        job = self._job
        try:
            return self._client.create_custom_job(parent=self._parent, custom_job=job, **ONCE)
        except exceptions.TooManyRequests as error:
            if _NO_QUOTA in str(error):
                raise UserError(problem_of(error, self.doing)) from error
            raise

    def cancel_all_but(self, made: CustomJob) -> None:
        """Ends the jobs of a request that was delivered more than once."""
        with explained(self.doing):
            for job in self._all(READ):
                if job.name != made.name:
                    self._client.cancel_custom_job(name=job.name, **READ)

    def _all(self, how: Mapping[str, Any]) -> list[CustomJob]:
        """Lists the jobs of this request that have not come to nothing."""
        request = {"parent": self._parent, "filter": self._filter}
        found = self._client.list_custom_jobs(request=request, **how)
        return [job for job in found if job.state not in _LOST]
