"""What a request means that does not say it: the model's name, the template, where paths begin."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from glob import has_magic
from pathlib import PurePath
from typing import Any

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.registry_location import checked_registry_uri
from kfp_llm_tuning.components.common.storage import is_local, local_path
from kfp_llm_tuning.components.data.sources.files import split_list
from kfp_llm_tuning.pipelines.requests.request import CHAT_TEMPLATE, DEFAULT_TEMPLATE, Request
from kfp_llm_tuning.pipelines.requests.run_length import length_problems, with_advised_steps


def completed(
    request: Request | None,
    values: Mapping[str, Any],
    labels: Mapping[str, str],
    template: str | None,
    problems: Sequence[Problem],
    *,
    advise_steps: bool = True,
) -> Request:
    """Makes a request of what was given for it.

    Args:
        request: A published body that it is based on; None where there was none.
        values: Parameter values from every place, put one over the other.
        labels: Likewise.
        template: The pipeline's name where one was asked for.
        problems: What is wrong with how it was given.
        advise_steps: Whether the task found in the data decides on the steps of a request that
            says nothing of them, and is no published body.

    Returns:
        The request, with a name for the model, a template, and who decides on the steps.
    """
    named = dict(values)
    named.setdefault("model_display_name", default_display_name(values))
    chosen = template or (request.template if request else default_template(named))
    problems = [*problems, *length_problems(named)]
    if advise_steps and not request:
        named = with_advised_steps(named, chosen)
    return dataclasses.replace(
        request or Request(chosen, named),
        template=chosen,
        values=named,
        labels=dict(labels),
        problems=tuple(problems),
    )


def default_display_name(values: Mapping[str, Any]) -> str:
    """Names the tuned model after its data.

    Args:
        values: Of the request's parameters.

    Returns:
        The name.
    """
    dataset = str(values.get("dataset_uri") or values.get("dataset_name") or "model")
    first = PurePath(split_list(dataset)[0].partition("?")[0])
    parts = [part for part in first.parts if not has_magic(part)]
    return f"{parts[-1].partition('.')[0] if parts else 'model'}-tuned"


def default_template(values: Mapping[str, Any]) -> str:
    """Chooses by the model's kind; for a model that is both, by the default_context.

    Args:
        values: Of the request's parameters.

    Returns:
        The template's name.
    """
    from kfp_llm_tuning.components.models.model_references import resolve

    reference = values.get("large_model_reference")
    if reference is None:
        return DEFAULT_TEMPLATE
    try:
        is_chat = resolve(str(reference)).kind in ("chat", "codechat")
    except UserError:  # The check of the parameters tells it.
        is_chat = False
    return CHAT_TEMPLATE if is_chat or values.get("default_context") else DEFAULT_TEMPLATE


def with_absolute_paths(request: Request) -> Request:
    """Makes local paths absolute, so that a run can be resumed from another folder.

    Args:
        request: What to run.

    Returns:
        The request; URIs of other places, and what is no registry, are left as they are.
    """
    values = dict(request.values)
    for name in ("dataset_uri", "evaluation_data_uri"):
        if (uri := values.get(name)) and isinstance(uri, str):
            values[name] = ",".join(_absolute(part) for part in split_list(uri))
    if (uri := values.get("evaluation_output_root_dir")) and isinstance(uri, str):
        values["evaluation_output_root_dir"] = _absolute(uri)
    model = str(values.get("large_model_reference") or "")
    if "/" in model and is_local(model) and os.path.isdir(local_path(model)):  # noqa: PTH112
        values["large_model_reference"] = str(local_path(model).absolute())
    if (uri := values.get("registry_uri")) and isinstance(uri, str):
        with suppress(UserError):  # The check of the parameters tells it.
            values["registry_uri"] = checked_registry_uri(uri)
    return dataclasses.replace(request, values=values)


def _absolute(uri: str) -> str:
    return str(local_path(uri).absolute()) if uri and is_local(uri) else uri
