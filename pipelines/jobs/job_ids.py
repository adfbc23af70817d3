"""Ids of jobs: a job that is sent again with its id is not started again."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime

JOB_ID = re.compile(r"[a-z][-a-z0-9]{0,127}")
JOB_ID_FORM = "lower-case letters, digits and hyphens, a letter first, at most 128"


def new_job_id(template: str) -> str:
    """Makes a job id: readable, and its own even for jobs of the same second."""
    return f"{template}-{datetime.now(UTC):%Y%m%d%H%M%S}-{secrets.token_hex(3)}"
