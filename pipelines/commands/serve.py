"""``kfp-llm-tuning serve``: a registered model, or one in a folder, answers over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import click

from kfp_llm_tuning.components.parameters.row import Parameter
from kfp_llm_tuning.components.serving.settings import SETTINGS, ServerSettings
from kfp_llm_tuning.pipelines.commands.completion import complete_models
from kfp_llm_tuning.pipelines.commands.model_folder import model_folder, model_name
from kfp_llm_tuning.pipelines.commands.registry_option import registry_option

# An argument of the command.
_ARGUMENT = "model"


def _setting_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds one option for each setting; its row is the only definition."""
    for name, setting in reversed(list(SETTINGS.items())):
        if name == _ARGUMENT:
            continue
        command = click.option(
            setting.option,
            name,
            type=_option_type(setting),
            is_flag=setting.default is False,
            default=setting.default,
            show_default=setting.default not in ("", False),
            help=setting.help,
        )(command)
    return command


def _option_type(setting: Parameter) -> Any:
    if setting.choices:
        return click.Choice(setting.choices)
    limits: Any = {int: click.IntRange, float: click.FloatRange}.get(setting.type)
    return limits(setting.minimum, setting.maximum) if limits else setting.type


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
