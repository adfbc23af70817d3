"""Where the registry is: the rule for its default, and where its files lie. Imports no MLflow."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from pathlib import Path
from urllib.parse import unquote, urlsplit

from kfp_llm_tuning.components.common.credentials import has_credentials, without_credentials
from kfp_llm_tuning.components.common.errors import Problem, UserError

REGISTRY_VARIABLE = "MLFLOW_TRACKING_URI"
DEFAULT_OUTPUT_DIRECTORY = Path("runs")
_SQLITE = "sqlite:///"
_SQLITE_URI = re.compile(r"sqlite(\+\w+)?://(/(?P<path>[^?]+))?(?P<query>\?.*)?")
# Those that MLflow opens as one place for runs and registered models. Its folder store is left
# out: it is deprecated there, and knows no transactions.
_SCHEMES = ("sqlite", "postgresql", "mysql", "mssql", "http", "https", "databricks")


def default_registry_uri(output_directory: Path = DEFAULT_OUTPUT_DIRECTORY) -> str:
    """Names the registry that is used where none is given.

    Args:
        output_directory: The folder of runs, relative to the working directory or absolute.

    Returns:
        The value of ``MLFLOW_TRACKING_URI`` where that is set, without its password, else
        ``mlflow.db`` in the folder.
    """
    database = output_directory.expanduser().absolute() / "mlflow.db"
    own = os.environ.get(REGISTRY_VARIABLE, "")
    return without_credentials(own) or f"{_SQLITE}{database}"


def with_credentials(uri: str) -> str:
    """Puts back the password of ``MLFLOW_TRACKING_URI``, which stays in the environment.

    Args:
        uri: A registry URI as tasks and records have it.

    Returns:
        The value of the variable where that is the same registry, else the URI.
    """
    own = os.environ.get(REGISTRY_VARIABLE, "")
    return own if own and without_credentials(own) == uri else uri


def credentials_problem(uri: str, where: str = "registry_uri") -> Problem | None:
    """Says how to name a registry whose password would be kept in the open.

    Args:
        uri: A registry URI that travels as a pipeline's input.
        where: The parameter or option that holds it.

    Returns:
        The problem; None where the URI holds no secret.
    """
    if not has_credentials(uri):
        return None
    return Problem(
        f"{uri} holds a password, and inputs of a pipeline are written to logs, records and "
        "specifications.",
        where,
        without_credentials(uri),
        f"Set the variable {REGISTRY_VARIABLE} to the whole URI, or MLFLOW_TRACKING_USERNAME and "
        "MLFLOW_TRACKING_PASSWORD; on Kubeflow, from a secret, with the option secret_environment.",
    )


def checked_registry_uri(uri: str) -> str:
    """Refuses what is no registry, and makes the path of a SQLite file absolute.

    Args:
        uri: What the user gave.

    Returns:
        The URI to hand to MLflow.

    Raises:
        UserError: If the URI is empty or of a scheme that keeps no registry.
    """
    if scheme_of(uri) not in _SCHEMES:
        raise UserError(
            Problem(
                f"{uri!r} is no registry.",
                where="registry_uri",
                allowed=f"URIs that start with {', '.join(_SCHEMES)}",
                fix=f"For a file on this machine give {_SQLITE}PATH/mlflow.db.",
            )
        )
    database = database_file(uri)
    return f"{_SQLITE}{database}" if database else uri


def database_file(uri: str) -> Path | None:
    """Gives the absolute path of a SQLite registry; None for every other registry.

    Raises:
        UserError: If the URI is SQLite's and names no file.
    """
    if scheme_of(uri) != "sqlite":
        return None
    found = _SQLITE_URI.fullmatch(uri)
    if found and found["path"] and found["path"] != ":memory:" and not found["query"]:
        return Path(found["path"]).expanduser().absolute()
    raise UserError(
        Problem(
            f"{uri!r} names no file.",
            where="registry_uri",
            allowed=f"{_SQLITE}PATH/mlflow.db, the path without a question mark",
        )
    )


def scheme_of(uri: str) -> str:
    """Gives the kind of a registry: ``sqlite``, ``https``, ``postgresql``, ..."""
    return uri.partition(":")[0].partition("+")[0]


def artifact_location(uri: str) -> str | None:
    """Says where a new experiment keeps its files.

    Args:
        uri: A checked registry URI.

    Returns:
        The URI of the folder ``mlartifacts`` beside a SQLite file; None where the server decides.
    """
    database = database_file(uri)
    return artifacts_folder(database).as_uri() if database else None


def artifacts_folder(database: Path) -> Path:
    """Names the folder of the models and reports of a SQLite registry."""
    return database.parent / "mlartifacts"


def local_artifacts(uri: str) -> Path | None:
    """Gives the path of artifacts on this machine; None where they lie elsewhere.

    Args:
        uri: As MLflow has it: unlike fsspec's, its file URIs are quoted.
    """
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    return None if "://" in uri else Path(uri)


def lock_file(uri: str) -> Path:
    """Names the file whose lock lets one process of this machine at a time write.

    Args:
        uri: A checked registry URI.

    Returns:
        A path beside a SQLite file, in the folder of temporary files for every other registry.
    """
    database = database_file(uri)
    if database:
        return database.with_name(f"{database.name}.lock")
    digest = hashlib.sha256(uri.encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"kfp-llm-tuning-registry-{digest}.lock"
