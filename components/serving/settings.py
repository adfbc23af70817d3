"""How the server runs: a table of settings, and their reading from the environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from kfp_llm_tuning.components.common.errors import Problem, collect, raise_all
from kfp_llm_tuning.components.common.wording import nearest
from kfp_llm_tuning.components.generation.engines import ENGINES
from kfp_llm_tuning.components.parameters.reading import limit_problems, read
from kfp_llm_tuning.components.parameters.row import Parameter, row, rows_of

PREFIX = "KFP_LLM_TUNING_SERVING_"
# Paths that are taken, whatever the routes are called.
METRICS_ROUTE = "/metrics"
OPENAI_PREFIX = "/v1/"

_MIB = 1024 * 1024
_ROUTES = "/PATH that nothing else has"
# Settings that Vertex AI's own variables give; every other has one with our prefix.
_VERTEX_VARIABLES = {
    "model": "AIP_STORAGE_URI",
    "port": "AIP_HTTP_PORT",
    "health_route": "AIP_HEALTH_ROUTE",
    "predict_route": "AIP_PREDICT_ROUTE",
}
# A container that listened to itself alone would be of no use.
_CONTAINER_HOST = "0.0.0.0"
# What Kubernetes sets in every container for a Service whose name begins like our prefix.
_SERVICE_LINK = re.compile(r"(_|^)(SERVICE_(HOST|PORT(_\w+)?)|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)$")


@dataclass(frozen=True)
class ServerSettings:
    """How a model is served: each setting is a row, an option of ``serve``, a variable."""

    model: str = row(
        "", help="The model: a folder, or gs://, s3:// or another URI that fsspec opens."
    )
    model_name: str = row(
        "", help="What clients of /v1 call it; empty means the name of its folder."
    )
    host: str = row("127.0.0.1", help="Address to listen at; a container listens at every one.")
    port: int = row(8080, help="Port to listen at.", minimum=0, maximum=65_535)
    health_route: str = row(
        "/health", help="Path that tells whether the model answers.", allowed=_ROUTES
    )
    predict_route: str = row(
        "/predict", help="Path of the published endpoints' predictions.", allowed=_ROUTES
    )
    engine: str = row(
        "auto",
        help='"transformers", "vllm", or "auto": vLLM where it is installed and a GPU is there.',
        choices=ENGINES,
    )
    max_queue: int = row(
        256,
        help="Answers that may be written or waited for at once; a request for more is told to "
        "come again (429).",
        minimum=1,
    )
    max_body_bytes: int = row(10 * _MIB, help="Most bytes of a request's body.", minimum=1)
    head_timeout_seconds: float = row(
        15.0, help="Seconds in which the head of a request must arrive.", minimum=0.1
    )
    body_timeout_seconds: float = row(
        60.0, help="Seconds in which the body of a request must arrive.", minimum=0.1
    )
    request_timeout_seconds: float = row(
        300.0, help="Seconds after which an answer is given up.", minimum=0.1
    )
    # Google's load balancers keep theirs for 600 s.
    keep_alive_seconds: int = row(
        620,
        help="Seconds for which an idle connection is kept: longer than a load balancer keeps it, "
        "or the balancer loses requests.",
        minimum=1,
    )
    drain_seconds: float = row(
        5.0,
        help="Seconds for which a server that was told to end still lets requests in, so that "
        "load balancers notice.",
        minimum=0,
    )
    finish_seconds: int = row(
        300, help="Seconds that answers under way then have to end.", minimum=0
    )
    log_prompts: bool = row(False, help="Whether prompts and answers are logged.")

    def __post_init__(self) -> None:
        """Checks every setting, and the routes against each other.

        Raises:
            UserError: With everything that is wrong.
        """
        problems = [
            problem
            for name, setting in SETTINGS.items()
            for problem in limit_problems(getattr(self, name), setting)
        ]
        problems += (
            Problem(f"{route!r} cannot be a route.", name, _ROUTES)
            for name, route in (
                ("health_route", self.health_route),
                ("predict_route", self.predict_route),
            )
            if not _is_free(route)
        )
        if self.health_route == self.predict_route:
            problems.append(Problem(f"{self.health_route} is both routes.", "predict_route"))
        raise_all(problems)


SETTINGS: Mapping[str, Parameter] = rows_of(ServerSettings)


def variable(name: str) -> str:
    """Names the variable that gives a setting in a container."""
    return _VERTEX_VARIABLES.get(name, PREFIX + name.upper())


def from_environment(environment: Mapping[str, str]) -> ServerSettings:
    """Reads a container's settings: Vertex AI's ``AIP_`` variables and ours.

    Args:
        environment: The process's variables.

    Returns:
        The settings; what no variable names, or an empty one, has its default.

    Raises:
        UserError: With every value that cannot be one, and every variable with our prefix that
            names no setting.
    """
    names = {variable(name): name for name in SETTINGS}
    problems = [
        _unknown(name)
        for name, value in environment.items()
        if name.startswith(PREFIX) and name not in names and not _is_link(name, value)
    ]
    given = {name: environment[name] for name in names if environment.get(name)}
    rows = {name: replace(SETTINGS[setting], name=name) for name, setting in names.items()}
    found, unfit = read(given, rows, texts=True, limits=True)
    problems += unfit
    values = {names[name]: value for name, value in found.items()}
    settings = ServerSettings()
    with collect(problems):
        settings = ServerSettings(**{"host": _CONTAINER_HOST, **values})
    raise_all(problems)
    return settings


def _unknown(name: str) -> Problem:
    near = nearest(name.removeprefix(PREFIX).lower(), SETTINGS)
    known = ", ".join(map(variable, SETTINGS))
    fix = f"Did you mean {variable(near)}?" if near else f"There are {known}."
    return Problem("no such setting.", name, fix=fix)


def _is_link(name: str, value: str) -> bool:
    rest = name.removeprefix(PREFIX)
    return bool(_SERVICE_LINK.search(rest)) or (rest.endswith("PORT") and "://" in value)


def _is_free(route: str) -> bool:
    """Tells whether a path can be one of the two routes."""
    if route == METRICS_ROUTE or not re.fullmatch(r"/[\w.~:@/-]*", route, re.ASCII):
        return False
    # Vertex AI's own default of the predict route begins with /v1/endpoints/.
    return not route.startswith(OPENAI_PREFIX) or route.startswith(f"{OPENAI_PREFIX}endpoints/")
