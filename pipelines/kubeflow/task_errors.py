"""Why tasks failed or do not start, which only the workflow beneath a run tells.

The first version of the API has it. A pod that cannot be scheduled, or whose image cannot be
pulled, stays pending for ever, and its run with it.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Mapping
from typing import Any

from kfp_llm_tuning.pipelines.kubeflow.api_errors import NETWORK_ERRORS, ApiException
from kfp_llm_tuning.pipelines.kubeflow.connection import KubeflowApi

FAILED, PENDING = frozenset({"Failed", "Error"}), frozenset({"Pending"})


def pod_messages(api: KubeflowApi, run_id: str, phases: Collection[str]) -> dict[str, str]:
    """Reads what the pods of a run's tasks say.

    Args:
        api: Where.
        run_id: The run.
        phases: Of the pods that are asked: ``FAILED``, or ``PENDING`` for what they wait for.

    Returns:
        Messages such as "main: Error (exit code 13)." by the tasks' names; none where the server
        does not tell.
    """
    client = api.client.runs.run_service_get_run.__self__.api_client
    with contextlib.suppress(ApiException, ValueError, KeyError, TypeError, *NETWORK_ERRORS):
        detail, *_ = api.once(
            client.call_api,
            f"/apis/v1beta1/runs/{run_id}",
            "GET",
            response_type="object",
            auth_settings=["Bearer"],
        )
        manifest = json.loads(detail["pipeline_runtime"]["workflow_manifest"])
        return _messages(manifest["status"]["nodes"], phases)
    return {}


def _messages(nodes: Mapping[str, Mapping[str, Any]], phases: Collection[str]) -> dict[str, str]:
    messages: dict[str, str] = {}
    for node in nodes.values():
        is_pod = node.get("type") == "Pod" and node.get("phase") in phases
        if is_pod and node.get("message"):
            messages[_task_of(node, nodes)] = f"{str(node['message']).rstrip('.')}."
    return messages


def _task_of(node: Mapping[str, Any], nodes: Mapping[str, Mapping[str, Any]]) -> str:
    """Names the task of a pod: its driver is called after it, its executor is inside of it."""
    name = str(node.get("displayName", ""))
    if name.endswith("-driver"):
        return name.removesuffix("-driver")
    return str(nodes.get(str(node.get("boundaryID")), {}).get("displayName", name))
