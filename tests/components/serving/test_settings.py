"""Settings of a container: read from its environment, every mistake told."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.serving import settings
from kfp_llm_tuning.components.serving.settings import (
    PREFIX,
    SETTINGS,
    ServerSettings,
    from_environment,
    variable,
)


def problems(**environment: str) -> list[str]:
    with pytest.raises(UserError) as caught:
        from_environment(environment)
    return [str(problem) for problem in caught.value.problems]


def test_vertex_ai_names_port_routes_and_model() -> None:
    read = from_environment(
        {
            "AIP_HTTP_PORT": "9000",
            "AIP_HEALTH_ROUTE": "/v1/endpoints/1/deployedModels/2",
            "AIP_PREDICT_ROUTE": "/v1/endpoints/1/deployedModels/2:predict",
            "AIP_STORAGE_URI": "gs://bucket/model",
            "AIP_PROJECT_NUMBER": "1234",
        }
    )
    assert read == ServerSettings(
        host="0.0.0.0",
        port=9000,
        health_route="/v1/endpoints/1/deployedModels/2",
        predict_route="/v1/endpoints/1/deployedModels/2:predict",
        model="gs://bucket/model",
    )


def test_every_other_setting_has_a_variable_of_ours() -> None:
    given = {
        "MODEL_NAME": "intents",
        "HOST": "::",
        "ENGINE": "transformers",
        "MAX_QUEUE": "8",
        "MAX_BODY_BYTES": "1000",
        "HEAD_TIMEOUT_SECONDS": "1.5",
        "BODY_TIMEOUT_SECONDS": "2",
        "REQUEST_TIMEOUT_SECONDS": "3",
        "KEEP_ALIVE_SECONDS": "4",
        "DRAIN_SECONDS": "0",
        "FINISH_SECONDS": "0",
        "LOG_PROMPTS": "true",
    }
    ours = set(map(variable, SETTINGS))
    assert {PREFIX + name for name in given} == {name for name in ours if name.startswith(PREFIX)}
    assert from_environment({PREFIX + name: value for name, value in given.items()}) == (
        ServerSettings(
            model_name="intents",
            host="::",
            engine="transformers",
            max_queue=8,
            max_body_bytes=1000,
            head_timeout_seconds=1.5,
            body_timeout_seconds=2,
            request_timeout_seconds=3,
            keep_alive_seconds=4,
            drain_seconds=0,
            finish_seconds=0,
            log_prompts=True,
        )
    )


def test_nothing_given_is_the_defaults_at_every_address() -> None:
    expected = dataclasses.replace(ServerSettings(), host="0.0.0.0")
    assert from_environment({"AIP_STORAGE_URI": "", "PATH": "/bin"}) == expected


def test_every_mistake_is_told_at_once() -> None:
    told = problems(
        AIP_HTTP_PORT="http",
        AIP_HEALTH_ROUTE="health",
        AIP_PREDICT_ROUTE="/metrics",
        KFP_LLM_TUNING_SERVING_MAX_QUEU="1",
        KFP_LLM_TUNING_SERVING_SPEED="1",
        KFP_LLM_TUNING_SERVING_MAX_QUEUE="0",
        KFP_LLM_TUNING_SERVING_BODY_TIMEOUT_SECONDS="nan",
        KFP_LLM_TUNING_SERVING_LOG_PROMPTS="yes",
        KFP_LLM_TUNING_SERVING_ENGINE="tgi",
    )
    expected = [
        "KFP_LLM_TUNING_SERVING_MAX_QUEU: no such setting. Did you mean KFP_LLM_TUNING_SERVING_MAX",
        "KFP_LLM_TUNING_SERVING_SPEED: no such setting. There are AIP_STORAGE_URI, ",
        "AIP_HTTP_PORT: 'http' is not a whole number.",
        "KFP_LLM_TUNING_SERVING_ENGINE: 'tgi' is unknown. Allowed: auto, ",
        "KFP_LLM_TUNING_SERVING_MAX_QUEUE: 0 is out of range. Allowed: 1 or more.",
        "KFP_LLM_TUNING_SERVING_BODY_TIMEOUT_SECONDS: 'nan' is not a number.",
        "KFP_LLM_TUNING_SERVING_LOG_PROMPTS: 'yes' is not true or false.",
        "health_route: 'health' cannot be a route.",
        "predict_route: '/metrics' cannot be a route.",
    ]
    assert len(told) == len(expected)
    for text, start in zip(told, expected, strict=True):
        assert text.startswith(start)


@pytest.mark.parametrize(
    ("text", "expected"), [("1", True), ("TRUE", True), ("0", False), ("False", False)]
)
def test_a_boolean_may_be_a_digit(text: str, expected: bool) -> None:
    assert from_environment({PREFIX + "LOG_PROMPTS": text}).log_prompts is expected


@pytest.mark.parametrize("settings", [{"port": 65_536}, {"engine": "tgi"}, {"max_queue": 0}])
def test_no_settings_are_out_of_their_limits(settings: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=f"{next(iter(settings))}: "):
        ServerSettings(**settings)


@pytest.mark.parametrize("route", ["", "x", "/a b", "/a?b", "/{x}", "/v1/models", "/metrics"])
def test_what_cannot_be_a_route(route: str) -> None:
    with pytest.raises(UserError, match="cannot be a route"):
        ServerSettings(predict_route=route)


def test_one_path_cannot_be_both_routes() -> None:
    with pytest.raises(UserError, match="both routes"):
        ServerSettings(predict_route="/health")


def test_what_kubernetes_adds_for_a_service_of_that_name_is_no_mistake() -> None:
    links = {
        "KFP_LLM_TUNING_SERVING_PORT": "tcp://10.0.0.1:80",
        "KFP_LLM_TUNING_SERVING_SERVICE_HOST": "10.0.0.1",
        "KFP_LLM_TUNING_SERVING_SERVICE_PORT": "80",
        "KFP_LLM_TUNING_SERVING_SERVICE_PORT_HTTP": "80",
        "KFP_LLM_TUNING_SERVING_PORT_80_TCP": "tcp://10.0.0.1:80",
        "KFP_LLM_TUNING_SERVING_PORT_80_TCP_ADDR": "10.0.0.1",
        "KFP_LLM_TUNING_SERVING_INTENTS_SERVICE_HOST": "10.0.0.1",
    }
    assert from_environment(links) == from_environment({})
    assert "Did you mean AIP_HTTP_PORT?" in problems(KFP_LLM_TUNING_SERVING_PORT="8080")[0]


def test_settings_need_no_heavy_library() -> None:
    program = (
        "import sys, kfp_llm_tuning.components.serving.settings;"
        "print({'fastapi', 'uvicorn', 'torch', 'transformers', 'kfp'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "set()\n"


def test_readme_has_the_table_of_settings() -> None:
    rows = [
        f"| `{variable(name)}` | {f'`{row.default}`' if row.default != '' else ''} | {row.help} |"
        for name, row in SETTINGS.items()
    ]
    readme = Path(settings.__file__).with_name("README.md").read_text(encoding="utf-8")
    assert "\n".join(rows) in readme
