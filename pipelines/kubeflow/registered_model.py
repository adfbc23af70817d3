"""The model that a run registered: the service knows no outputs of runs, but the registry does."""

from __future__ import annotations

from dataclasses import dataclass

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.common.primary_metric import PrimaryMetric
from kfp_llm_tuning.components.upload.labels import RUN_LABEL
from kfp_llm_tuning.components.upload.names import DEPLOYED_ALIAS, ModelAddress, endpoint_name

_LOOK = "evaluate-model's log says what the gate decided, upload-llm-model's what was registered."


@dataclass(frozen=True)
class RegisteredModel:
    """What the registry says of a run.

    Attributes:
        name: ``models/NAME@VERSION``; empty where nothing was registered, or where it is not known.
        endpoint: Name of the endpoint, where the version is deployed.
        note: Why it is not known.
        primary: The metric that the run's evaluation judged by, also where nothing was registered.
    """

    name: str = ""
    endpoint: str = ""
    note: str = ""
    primary: PrimaryMetric | None = None


def registered_model(registry_uri: str, run_id: str) -> RegisteredModel:
    """Asks the registry for the version that a run registered.

    Args:
        registry_uri: MLflow tracking URI; empty where it is not known.
        run_id: The run.

    Returns:
        What it says.
    """
    if not registry_uri:
        return RegisteredModel(note=f"the run does not say where its model is. {_LOOK}")
    try:
        return _ask(registry_uri, run_id)
    except ModuleNotFoundError:
        what = f"{registry_uri} was not asked for the model: mlflow is not installed"
        return RegisteredModel(note=f"{what} (pip install 'kfp-llm-tuning[tuning]'). {_LOOK}")
    except UserError as error:
        return RegisteredModel(note=f"{error.problems[0].what.rstrip('.')}. {_LOOK}")


def _ask(registry_uri: str, run_id: str) -> RegisteredModel:
    from kfp_llm_tuning.components.tracking.connection import connect
    from kfp_llm_tuning.components.tracking.tracked_run import find_run

    client = connect(registry_uri, create=False)
    found = client.search_model_versions(f"tags.`{RUN_LABEL}` = '{run_id}'", max_results=1)
    run = find_run(client, run_id)
    primary = run.primary if run else None
    if not found:
        return RegisteredModel(primary=primary)
    name, version = found[0].name, str(found[0].version)
    aliases = client.get_model_version(name, version).aliases
    endpoint = endpoint_name(name) if DEPLOYED_ALIAS in aliases else ""
    return RegisteredModel(ModelAddress(name, version).resource_name, endpoint, primary=primary)
