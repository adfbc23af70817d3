"""The larger pipeline: data of one's own, a gate of one's own, and a message at the end."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.examples.conftest import Place


@pytest.fixture
def webhook() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A URL, and the messages that were posted there."""
    messages: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            messages.append(json.loads(body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hook", messages
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.slow
def test_it_prepares_tunes_deploys_and_tells(
    place: Place, webhook: tuple[str, list[dict[str, str]]]
) -> None:
    url, messages = webhook
    inputs = {"messages_uri": place.data("train", 60), "train_steps": 4, "least_recall": 0.0}
    done = place.run("mlops", {**inputs, "webhook_url": url})
    assert done.exit_code == 0, done.printed
    assert done.tasks[0] == "prepare-messages"
    assert done.tasks[-3:] == ["upload-llm-model", "create-endpoint-and-deploy-model", "notify"]
    assert messages == [{"model": "support-router", "state": "SUCCEEDED"}]
    assert "models/support-router@1 is deployed" in done.printed


def test_it_tells_of_a_failure(place: Place, webhook: tuple[str, list[dict[str, str]]]) -> None:
    url, messages = webhook
    done = place.run("mlops", {"messages_uri": "missing.jsonl", "webhook_url": url})
    assert done.exit_code == 1, done.printed
    assert done.tasks == ["prepare-messages", "notify"]
    assert "no file at missing.jsonl" in done.printed
    (message,) = messages
    assert message["state"] == "FAILED"
    assert "failed" in message["error"]


def test_messages_keep_their_side_and_lose_addresses(tmp_path: Path, load) -> None:
    rows = [
        {"input_text": f"Mail  me at me{i}@home.test, {i}", "output_text": "x"} for i in range(80)
    ]
    messages = tmp_path / "messages.jsonl"

    def prepared(count: int) -> tuple[set[str], set[str]]:
        messages.write_text("\n".join(json.dumps(row) for row in rows[:count] + rows[:5]))
        folder = tmp_path / f"prepared-{count}"
        output = SimpleNamespace(path=str(folder), uri=str(folder))
        uris = load("mlops").prepare_messages.python_func(str(messages), output, 20)
        training, evaluation = (Path(uri).read_text().splitlines() for uri in uris)
        assert len(training) + len(evaluation) == count
        return set(training), set(evaluation)

    fewer, more = prepared(40), prepared(80)
    assert fewer[0] < more[0]
    assert fewer[1] < more[1]
    assert json.loads(min(more[0] | more[1]))["input_text"].startswith("Mail me at ADDRESS ")


@pytest.mark.parametrize(("least", "passes"), [(0.5, True), (0.6, False)])
def test_the_gate_is_held_by_the_worst_team(
    tmp_path: Path, load, least: float, passes: bool
) -> None:
    classification = {"labels": ["billing", "returns"], "confusion_matrix": [[9, 1], [2, 2]]}
    found = {"tuned": {"classification": classification}}
    (tmp_path / "evaluation.json").write_text(json.dumps(found))
    gate = load("mlops").every_team_is_found.python_func
    assert gate(SimpleNamespace(path=str(tmp_path)), least) is passes
