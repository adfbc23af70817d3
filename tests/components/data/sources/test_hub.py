"""Datasets of the hub, from a stand-in on loopback that serves a folder as the hub does."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pytest
from pyarrow import parquet

from tests.loopback_server import LoopbackHandler, LoopbackServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"
# Reads what it is told to, and prints what came of it.
READER = """
import json, sys
from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.data.sources.files import list_files
from kfp_llm_tuning.components.data.sources.reader import read_source
told = []
for uri in sys.argv[1:]:
    try:
        files = [file.uri for file in list_files(uri)]
        lines = b"".join(part.lines for part in read_source(uri, "x")).splitlines()
        told.append({"files": files, "rows": [json.loads(line)["input_text"] for line in lines]})
    except UserError as error:
        told.append({"error": str(error)})
print(json.dumps(told))
"""


class Hub(LoopbackHandler):
    """Answers for the datasets org/rows and org/gated."""

    folder: Path

    def do_GET(self) -> None:
        """Answer facts of the repository, its tree, and its files."""
        path = unquote(urlsplit(self.path).path)
        if path.startswith("/api/datasets/org/rows/revision/gone"):
            self._answer(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        elif path.startswith("/api/datasets/org/rows/tree/"):
            self._list(path.removeprefix(f"/api/datasets/org/rows/tree/{COMMIT}").strip("/"))
        elif path.startswith("/api/datasets/org/rows"):
            facts = {"id": "org/rows", "sha": COMMIT, "siblings": [], "private": False}
            self._answer(200, json.dumps(facts).encode())
        elif path.startswith("/datasets/org/rows/resolve/"):
            self._send(path.removeprefix(f"/datasets/org/rows/resolve/{COMMIT}/"))
        elif "org/gated" in path:
            self._answer(403, b"{}", {"X-Error-Code": "GatedRepo"})
        else:
            self._answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    do_HEAD = do_GET

    def _list(self, path: str) -> None:
        folder = self.folder / path
        if not folder.is_dir():
            self._answer(404, b"{}", {"X-Error-Code": "EntryNotFound"})
            return
        recursive = "recursive=true" in self.path.lower()
        found = sorted(folder.rglob("*") if recursive else folder.iterdir())
        entries: list[dict[str, Any]] = [
            {
                "type": "directory" if one.is_dir() else "file",
                "path": str(one.relative_to(self.folder)),
                "size": one.stat().st_size,
                "oid": hashlib.sha1(str(one).encode()).hexdigest(),
            }
            for one in found
        ]
        self._answer(200, json.dumps(entries).encode())

    def _send(self, path: str) -> None:
        file = self.folder / path
        if not file.is_file():
            self._answer(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
            return
        content = file.read_bytes()
        tag = hashlib.sha1(content).hexdigest()
        self._answer(200, content, {"ETag": f'"{tag}"', "X-Repo-Commit": COMMIT})

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[str]:
    """A hub whose dataset has two splits in Parquet, and a folder of JSONL."""
    folder = tmp_path / "repository"
    for name in ("train", "test"):
        path = folder / f"data/{name}-00000-of-00001.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(pa.table({"input_text": [name], "output_text": ["b"]}), path)
    more = folder / "more/x.jsonl"
    more.parent.mkdir()
    more.write_text('{"input_text": "more", "output_text": "b"}\n')
    server = LoopbackServer(Hub, folder=folder)
    server.start()
    yield server.url
    server.stop()


def test_datasets_of_the_hub(endpoint: str, tmp_path: Path) -> None:
    uris = [
        "hf://org/rows",
        "hf://datasets/org/rows@main?split=test",
        "hf://org/rows/more/x.jsonl",
        "hf://org/rows/data/*.parquet",
        "hf://org/rows/more",
        "hf://org/rows/none.jsonl",
        "hf://org/rows@gone",
        "hf://org/gated",
        "hf://org/none",
    ]
    environment = {
        **os.environ,
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_OFFLINE": "0",
    }
    done = subprocess.run(
        [sys.executable, "-c", READER, *uris],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    base = f"hf://datasets/org/rows@{COMMIT}"
    train, test = (f"{base}/data/{name}-00000-of-00001.parquet" for name in ("train", "test"))
    assert told[:5] == [
        {"files": [train], "rows": ["train"]},
        {"files": [test], "rows": ["test"]},
        {"files": [f"{base}/more/x.jsonl"], "rows": ["more"]},
        {"files": [test, train], "rows": ["test", "train"]},
        {"files": [f"{base}/more/x.jsonl"], "rows": ["more"]},
    ]
    errors = ["has no file none.jsonl", "no such revision", "is gated", "the hub has no dataset"]
    for found, expected in zip(told[5:], errors, strict=True):
        assert expected in found["error"]
