"""The platforms that pipelines run on: what is true of each, in the one place that says it.

Whatever behaves differently from platform to platform asks for a trait, never for a name.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class PlatformTraits:
    """What is true of a platform; without traits, of one that nobody knows.

    Attributes:
        name: As ``--platform`` and validate-pipeline's input have it.
        title: As people call it.
        runs_here: Tasks run on the machine that started the run, and see its files.
        mounts_volumes: Tasks may see files at a path that a volume holds.
        tunes_in_place: The tuner works in its task's own container, and starts no other job.
        fixed_tuner: Why a run does not choose the tuner's machine; empty where it does.
        has_regions: It and what it works with lie in regions, in projects of Google Cloud.
        has_own_registry: It registers models where no other registry is named.
        manages_datasets: It keeps datasets by name.
        sends_jobs: Jobs and schedules are sent to it, with a compiled template.
    """

    name: str = ""
    title: str = ""
    runs_here: bool = False
    mounts_volumes: bool = False
    tunes_in_place: bool = True
    fixed_tuner: str = ""
    has_regions: bool = False
    has_own_registry: bool = True
    manages_datasets: bool = False
    sends_jobs: bool = False


LOCAL = PlatformTraits(
    name="local",
    title="this machine",
    runs_here=True,
    fixed_tuner="tuning runs on this machine",
)
KUBEFLOW = PlatformTraits(
    name="kubeflow",
    title="Kubeflow",
    mounts_volumes=True,
    fixed_tuner="the tuner's pod is as the pipeline was compiled",
    has_own_registry=False,
    sends_jobs=True,
)
VERTEX = PlatformTraits(
    name="vertex",
    title="Vertex AI",
    tunes_in_place=False,
    has_regions=True,
    manages_datasets=True,
    sends_jobs=True,
)

PLATFORMS = (LOCAL, KUBEFLOW, VERTEX)
PLATFORM_NAMES = tuple(platform.name for platform in PLATFORMS)
# In the order in which commands offer them, the default first.
JOB_PLATFORM_NAMES = tuple(platform.name for platform in reversed(PLATFORMS) if platform.sends_jobs)


def platform_named(name: str) -> PlatformTraits:
    """Finds a platform.

    Args:
        name: Any text.

    Returns:
        The platform; one without a name where there is none of that name.
    """
    return next((platform for platform in PLATFORMS if platform.name == name), PlatformTraits())
