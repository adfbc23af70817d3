"""Connections: what is wrong with them is told, and none waits for ever."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.pipelines.kubeflow import connection as module
from kfp_llm_tuning.pipelines.kubeflow.api_errors import ApiException
from kfp_llm_tuning.pipelines.kubeflow.connection import Connection, ensure
from tests.kubeflow.local_kubeflow import LocalKubeflow
from tests.kubeflow.local_kubernetes import kubeconfig
from tests.vertex.faults import Kind
from tests.vertex.grpc_server import _make_certificate

HEALTH = "HealthzService.GetHealthz"


@contextmanager
def answering(body: bytes, status: int = 200, folder: Path | None = None) -> Iterator[str]:
    """A server that always gives one answer, over TLS where there is a folder for certificates."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # noqa: N802
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if folder:
        key, certificate = _make_certificate()
        (folder / "key.pem").write_bytes(key)
        (folder / "ca.pem").write_bytes(certificate)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "ca.pem", folder / "key.pem")
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http{'s' * bool(folder)}://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def refusal(connection: Connection) -> str:
    with pytest.raises(UserError) as caught:
        connection.open()
    return str(caught.value)


def test_it_opens(kubeflow_server: LocalKubeflow) -> None:
    api = Connection(kubeflow_server.url).open()
    assert (api.namespace, api.namespaced, api.ui) == ("", {}, kubeflow_server.url)
    assert [request.method for request in kubeflow_server.requests] == [HEALTH]


def test_nothing_is_printed_and_no_file_is_written(
    kubeflow_server: LocalKubeflow, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    kubeflow_server.backend.multi_user = True
    Connection(kubeflow_server.url, namespace="kubeflow").open()
    assert "".join(capfd.readouterr()) == ""
    assert not (tmp_path / "context.json").exists()


def test_the_user_interface_may_be_elsewhere(
    kubeflow_server: LocalKubeflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KF_PIPELINES_UI_ENDPOINT", "https://kubeflow.example.com/pipeline/")
    assert Connection(kubeflow_server.url).open().ui == "https://kubeflow.example.com/pipeline"


def test_a_pod_s_own_token(
    kubeflow_server: LocalKubeflow, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("of the pod", encoding="utf-8")
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(tmp_path / "token"))
    kubeflow_server.backend.token = "of the pod"
    Connection(kubeflow_server.url).open()
    assert "no user identity" in refusal(Connection(kubeflow_server.url, token="another"))


def test_the_cluster_of_the_kubeconfig(
    kubeflow_server: LocalKubeflow, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(kubeconfig(kubeflow_server.url)), encoding="utf-8")
    location = "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION"
    monkeypatch.setattr(location, str(path))
    api = Connection().open()
    assert api.client.server.startswith(f"{kubeflow_server.url}/api/v1/namespaces/kubeflow/")
    assert api.ui == ""
    assert "no Kubeflow Pipelines is named" in refusal(Connection(kube_context="none"))


@pytest.mark.parametrize("kind", ["unavailable", "reset"])
def test_a_greeting_is_tried_again(
    kubeflow_server: LocalKubeflow, no_backoff: None, kind: Kind
) -> None:
    kubeflow_server.faults.inject(HEALTH, kind, 2)
    Connection(kubeflow_server.url).open()


@pytest.mark.parametrize("kind", ["unavailable", "reset"])
def test_but_not_for_ever(kubeflow_server: LocalKubeflow, no_backoff: None, kind: Kind) -> None:
    kubeflow_server.faults.inject(HEALTH, kind, 1000)
    assert "could not reach Kubeflow Pipelines" in refusal(Connection(kubeflow_server.url))


def test_a_server_that_never_answers(no_backoff: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TIMEOUTS", {"_request_timeout": (0.2, 0.2)})
    monkeypatch.setattr(module, "_greeting", lambda function: function)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert "timed out" in refusal(Connection(host))


def test_a_page_to_log_in() -> None:
    with answering(b"<html><body>Log in</body></html>") as host:
        assert "it may be a page to log in" in refusal(Connection(host))


@pytest.mark.parametrize(
    ("status", "body", "text"),
    [
        (403, b"RBAC: access denied", "RBAC: access denied (403)"),
        (404, b"<html>not here</html>", "Not Found (404). Check the id"),
        (500, b'{"code": 13, "message": "x", "details": [{"message": "broken"}]}', "broken (500)"),
    ],
)
def test_other_answers(status: int, body: bytes, text: str) -> None:
    with answering(body, status) as host:
        assert text in refusal(Connection(host))


def test_certificates(tmp_path: Path) -> None:
    health = json.dumps({"multi_user": False}).encode()
    with answering(health, folder=tmp_path) as host:
        assert "--ca-file" in refusal(Connection(host))
        Connection(host, ca_file=tmp_path / "ca.pem").open()


def test_the_words_that_lead_here_again() -> None:
    connection = Connection("http://h", "team-a", token="secret")
    assert connection.options_text == " --platform kubeflow --host http://h --namespace team-a"


def test_a_token_is_never_shown() -> None:
    problems = Connection("http://h", token="sec ret\n").problems()
    assert problems
    assert not any("sec" in str(problem) for problem in problems)


def conflict() -> str:
    raise ApiException(status=409, reason="Conflict")


def test_what_another_delivery_made_is_found(no_backoff: None) -> None:
    found: list[str | None] = [None, "there"]
    assert ensure(lambda: found.pop(0), conflict) == "there"


def test_a_conflict_that_nobody_made_is_an_error(no_backoff: None) -> None:
    with pytest.raises(ApiException):
        ensure(lambda: None, conflict)


def test_what_is_there_is_not_made() -> None:
    make: Callable[[], str] = pytest.fail
    assert ensure(lambda: "there", make) == "there"
