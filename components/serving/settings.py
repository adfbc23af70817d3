"""How the server runs: one frozen dataclass, its defaults, its reading from the environment."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_type_hints

from kfp_llm_tuning.components.common.errors import Problem, UserError, collect, raise_all
from kfp_llm_tuning.components.common.wording import did_you_mean
from kfp_llm_tuning.components.generation.engines import ENGINES

PREFIX = "KFP_LLM_TUNING_SERVING_"
# Paths that are taken, whatever the routes are called.
METRICS_ROUTE = "/metrics"
OPENAI_PREFIX = "/v1/"

_MIB = 1024 * 1024
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
# A container that listened to itself alone would be of no use.
_CONTAINER_HOST = "0.0.0.0"
# What Kubernetes sets in every container for a Service whose name begins like our prefix.
_SERVICE_LINK = re.compile(r"(_|^)(SERVICE_(HOST|PORT(_\w+)?)|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)$")


def _setting(default: Any, *, least: float | None = None, variable: str = "") -> Any:
    """Describes a setting: its default, the least number allowed, a variable of Vertex AI's."""
    return dataclasses.field(default=default, metadata={"least": least, "variable": variable})


@dataclass(frozen=True)
class ServerSettings:
    """How a model is served.

    Attributes:
        model: The model: a folder, or gs://, s3:// or another URI that fsspec opens.
        model_name: What clients of /v1 call it; empty means the name of its folder.
        host: Address to listen at; a container listens at every one.
        port: Port to listen at.
        health_route: Path that tells whether the model answers.
        predict_route: Path of the published endpoints' predictions.
        engine: "transformers", "vllm", or "auto": vLLM where it is installed and a GPU is there.
        max_queue: Answers that may be written or waited for at once; a request for more is told to
            come again (429).
        max_body_bytes: Most bytes of a request's body.
        head_timeout_seconds: Seconds in which the head of a request must arrive.
        body_timeout_seconds: Seconds in which the body of a request must arrive.
        request_timeout_seconds: Seconds after which an answer is given up.
        keep_alive_seconds: Seconds for which an idle connection is kept: longer than a load
            balancer keeps it, or the balancer loses requests.
        drain_seconds: Seconds for which a server that was told to end still lets requests in, so
            that load balancers notice.
        finish_seconds: Seconds that answers under way then have to end.
        log_prompts: Whether prompts and answers are logged.
    """

    model: str = _setting("", variable="AIP_STORAGE_URI")
    model_name: str = ""
    host: str = "127.0.0.1"
    port: int = _setting(8080, least=0, variable="AIP_HTTP_PORT")
    health_route: str = _setting("/health", variable="AIP_HEALTH_ROUTE")
    predict_route: str = _setting("/predict", variable="AIP_PREDICT_ROUTE")
    engine: str = "auto"
    max_queue: int = _setting(256, least=1)
    max_body_bytes: int = _setting(10 * _MIB, least=1)
    head_timeout_seconds: float = _setting(15.0, least=0.1)
    body_timeout_seconds: float = _setting(60.0, least=0.1)
    request_timeout_seconds: float = _setting(300.0, least=0.1)
    # Google's load balancers keep theirs for 600 s.
    keep_alive_seconds: int = _setting(620, least=1)
    drain_seconds: float = _setting(5.0, least=0)
    finish_seconds: int = _setting(300, least=0)
    log_prompts: bool = False

    def __post_init__(self) -> None:
        """Checks the routes and the engine.

        Raises:
            UserError: With everything that is wrong.
        """
        problems = [
            Problem(f"{route!r} cannot be a route.", name, "/PATH that nothing else has")
            for name, route in (
                ("health_route", self.health_route),
                ("predict_route", self.predict_route),
            )
            if not _is_free(route)
        ]
        if self.health_route == self.predict_route:
            problems.append(Problem(f"{self.health_route} is both routes.", "predict_route"))
        if self.engine not in ENGINES:
            problems.append(Problem(f"{self.engine!r} is no engine.", "engine", ", ".join(ENGINES)))
        raise_all(problems)


def from_environment(environment: Mapping[str, str]) -> ServerSettings:
    """Reads a container's settings: Vertex AI's ``AIP_`` variables and ours.

    Args:
        environment: The process's variables.

    Returns:
        The settings; what no variable names has its default.

    Raises:
        UserError: With every value that cannot be one, and every variable with our prefix that
            names no setting.
    """
    problems = [
        Problem(
            f"no such setting: {name}.", allowed=", ".join(_ours()), fix=did_you_mean(name, _ours())
        )
        for name, value in environment.items()
        if name.startswith(PREFIX) and name not in _ours() and not _is_service_link(name, value)
    ]
    values: dict[str, Any] = {"host": _CONTAINER_HOST}
    for field in dataclasses.fields(ServerSettings):
        name = variable(field)
        if environment.get(name):
            with collect(problems):
                values[field.name] = _parsed(field, name, environment[name])
    settings = ServerSettings()
    with collect(problems):
        settings = ServerSettings(**values)
    raise_all(problems)
    return settings


def variable(field: dataclasses.Field[Any]) -> str:
    """Names the variable that gives a setting in a container."""
    return field.metadata.get("variable") or PREFIX + field.name.upper()


def _ours() -> list[str]:
    names = map(variable, dataclasses.fields(ServerSettings))
    return [name for name in names if name.startswith(PREFIX)]


def _is_service_link(name: str, value: str) -> bool:
    rest = name.removeprefix(PREFIX)
    return bool(_SERVICE_LINK.search(rest)) or (rest.endswith("PORT") and "://" in value)


def _parsed(field: dataclasses.Field[Any], name: str, text: str) -> Any:
    kind = get_type_hints(ServerSettings)[field.name]
    if kind is bool:
        if text.lower() not in _BOOLEANS:
            raise UserError(Problem(f"{text!r} is neither true nor false.", name, "true, false"))
        return _BOOLEANS[text.lower()]
    try:
        value = kind(text)
    except ValueError as error:
        raise UserError(Problem(f"{text!r} is no number.", name)) from error
    least = field.metadata.get("least")
    if least is not None and not value >= least:
        raise UserError(Problem(f"{text} is too small.", name, f"{least:g} or more"))
    return value


def _is_free(route: str) -> bool:
    """Tells whether a path can be one of the two routes."""
    if route == METRICS_ROUTE or not re.fullmatch(r"/[\w.~:@/-]*", route, re.ASCII):
        return False
    # Vertex AI's own default of the predict route begins with /v1/endpoints/.
    return not route.startswith(OPENAI_PREFIX) or route.startswith(f"{OPENAI_PREFIX}endpoints/")
