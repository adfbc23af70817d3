"""``python -m ...custom_job_launcher``: makes a CustomJob once, and waits for it.

It takes the options of Google Cloud Pipeline Components' launcher, and waits by it. That launcher
makes the job anew when the answer to its first request was lost, or when its task was killed before
the job was written down: two jobs would then write to one folder.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

from google_cloud_pipeline_components.container.v1.custom_job import launcher, remote_runner
from google_cloud_pipeline_components.container.v1.gcp_launcher.job_remote_runner import (
    JobRemoteRunner,
)
from google_cloud_pipeline_components.container.v1.gcp_launcher.utils import parser_util

from kfp_llm_tuning.components.common.custom_jobs import make_once
from kfp_llm_tuning.components.common.errors import exit_on_error


def launch(arguments: Sequence[str]) -> None:
    """Makes the job unless it is there, and waits until it has ended.

    Args:
        arguments: Those of the launcher: ``--type CustomJob``, ``--payload``, ``--project``,
            ``--location``, and ``--gcp_resources``, the file in which the job is written down.

    Raises:
        UserError: If Vertex AI refuses the job.
    """
    _, asked = parser_util.parse_default_args(list(arguments))
    Path(asked.gcp_resources).unlink(missing_ok=True)
    runner = JobRemoteRunner(asked.type, asked.project, asked.location, asked.gcp_resources)
    payload = remote_runner.insert_system_labels_into_payload(asked.payload)
    key = hashlib.sha256(asked.payload.encode()).hexdigest()[:32]
    runner.create_job(lambda client, parent, job: make_once(client, parent, job, key), payload)
    # It finds the job written down, and only waits.
    launcher.main(list(arguments))


if __name__ == "__main__":
    with exit_on_error():
        launch(sys.argv[1:])
