"""What is known of the projects: adjust it in a test to see how a client takes it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field


def _default_role_members() -> dict[str, set[str]]:
    accounts = (f"{number}-compute@developer.gserviceaccount.com" for number in ("1234", "5678"))
    return {"roles/aiplatform.user": {f"serviceAccount:{account}" for account in accounts}}


@dataclass
class ProjectFacts:
    """Facts that the APIs about projects answer with.

    Attributes:
        numbers: The number of each project; other projects are refused (403).
        disabled_apis: Such as aiplatform.googleapis.com; every other API is enabled.
        missing_permissions: Such as aiplatform.pipelineJobs.create; others are granted.
        service_accounts: E-mail addresses that exist; None means that all do.
        quotas: Limit by metric and region, as the quota APIs name the metric, such as
            {"aiplatform.googleapis.com/custom_model_training_nvidia_a100_80gb_gpus":
            {"us-central1": 8}}; other metrics have `default_quota`.
        default_quota: The limit where `quotas` says nothing.
        hidden_quotas: Metrics that the quota APIs do not tell of.
        role_members: Who has each role on every project, such as {"roles/aiplatform.user":
            {"serviceAccount:1234-compute@developer.gserviceaccount.com"}}.
        keys: Encryption keys and their states; None means that all are there and enabled.
        repositories: Artifact Registry repositories that exist; None means that all do.
        missing_images: Full names of images that were not pushed, of those that `images.py` has.
        regions: Those that Compute Engine has.
        missing_machines: Machine types and accelerators that a region does not have, by region.
    """

    numbers: dict[str, str] = field(
        default_factory=lambda: {"test-project": "1234", "my-project": "5678"}
    )
    disabled_apis: set[str] = field(default_factory=set)
    missing_permissions: set[str] = field(default_factory=set)
    service_accounts: set[str] | None = None
    quotas: dict[str, dict[str, int]] = field(default_factory=dict)
    default_quota: int = 64
    hidden_quotas: set[str] = field(default_factory=set)
    role_members: dict[str, set[str]] = field(default_factory=_default_role_members)
    keys: dict[str, str] | None = None
    repositories: set[str] | None = None
    missing_images: set[str] = field(default_factory=set)
    regions: tuple[str, ...] = ("us-central1", "us-west1", "europe-west4")
    missing_machines: dict[str, set[str]] = field(default_factory=dict)

    def canonical_name(self, name: str) -> str:
        """A resource's name with the project's id in the place of its number."""
        found = re.match(r"projects/(\d+)(?=/|$)", name)
        project = self.project_of_number(found.group(1)) if found else None
        return f"projects/{project}{name[found.end() :]}" if found and project else name

    def project_of_number(self, number: str) -> str | None:
        """The id of a project, None if there is none of that number."""
        return next((key for key, value in self.numbers.items() if value == number), None)

    def find(self, id_or_number: str) -> tuple[str, str] | None:
        """The id and the number of a project, None if there is none."""
        project = self.project_of_number(id_or_number) or id_or_number
        return (project, self.numbers[project]) if project in self.numbers else None

    def quota(self, metric: str, region: str) -> int:
        """The limit of a metric in a region."""
        return self.quotas.get(metric, {}).get(region, self.default_quota)
