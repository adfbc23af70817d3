"""Names of Google Cloud's resources, completed where only their ids were given."""

from __future__ import annotations


def full_name(name: str, collection: str, project: str, location: str) -> str:
    """Gives a resource's whole name.

    Args:
        name: Its whole name, or its id alone; empty for none.
        collection: Of the resource, such as tensorboards.
        project: Project of an id alone.
        location: Region of an id alone.

    Returns:
        ``projects/PROJECT/locations/LOCATION/COLLECTION/ID``; empty for none.
    """
    if not name or "/" in name:
        return name
    return f"projects/{project}/locations/{location}/{collection}/{name}"
