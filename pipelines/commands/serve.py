"""``kfp-llm-tuning serve``: a registered model, or one in a folder, answers over HTTP."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from functools import partial
from typing import Any, get_type_hints

import click
import docstring_parser

from kfp_llm_tuning.components.generation.engines import ENGINES
from kfp_llm_tuning.components.serving.settings import ServerSettings
from kfp_llm_tuning.pipelines.commands.completion import complete_models
from kfp_llm_tuning.pipelines.commands.model_folder import model_folder, model_name
from kfp_llm_tuning.pipelines.commands.registry_option import registry_option

# An argument of the command.
_ARGUMENT = "model"
_KINDS: dict[str, click.ParamType[Any]] = {
    "engine": click.Choice(ENGINES),
    "port": click.IntRange(0, 65535),
}


def _setting_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds one option for each setting; the dataclass is their only definition."""
    described = docstring_parser.parse(ServerSettings.__doc__ or "").params
    texts = {parameter.arg_name: parameter.description for parameter in described}
    for field in reversed(dataclasses.fields(ServerSettings)):
        if field.name == _ARGUMENT:
            continue
        command = click.option(
            f"--{field.name.replace('_', '-')}",
            field.name,
            type=_KINDS.get(field.name) or _kind(field),
            is_flag=field.default is False,
            default=field.default,
            show_default=field.default not in ("", False),
            help=texts[field.name],
        )(command)
    return command


def _kind(field: dataclasses.Field[Any]) -> Any:
    kind = get_type_hints(ServerSettings)[field.name]
    least = field.metadata.get("least")
    if least is None:
        return kind
    return click.IntRange(min=least) if kind is int else click.FloatRange(min=least)


@click.command(context_settings={"max_content_width": 100})
@click.argument(_ARGUMENT, shell_complete=complete_models)
@registry_option
@_setting_options
def serve(model: str, registry_uri: str, **options: Any) -> None:
    """Answer over HTTP with a tuned model.

    MODEL is a folder, NAME (the deployed version, else the newest), NAME@VERSION,
    models/NAME@VERSION, models:/NAME/VERSION or models:/NAME@deployed.

    Clients of Vertex AI's endpoints call the predict route, those of OpenAI's API /v1. Ctrl-C ends
    the server when it has answered what it began; a second one ends it at once.
    """
    from kfp_llm_tuning.components.serving import listening, logs, model_loading, server

    folder = model_loading.fetch(str(model_folder(model, registry_uri)))
    options["model_name"] = options["model_name"] or model_name(model)
    settings = ServerSettings(model=str(folder), **options)
    listener = listening.listen(settings)
    click.echo(_invitation(settings, listening.address(listener)))
    logs.configure()
    server.run(settings, listener, partial(model_loading.load_model, settings))


def _invitation(settings: ServerSettings, url: str) -> str:
    body = json.dumps({"instances": [{"prompt": "Hello"}]})
    return (
        f"Serving {settings.model_name} at {url}; {url}{settings.health_route} tells when it is "
        f"ready. Try:\n  curl {url}{settings.predict_route}"
        f" -H 'Content-Type: application/json' -d '{body}'"
    )
