"""The local Cloud Storage, called with google-cloud-storage, gcsfs and plain HTTP."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from gcsfs.core import GCSFileSystem
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from google.cloud.storage import transfer_manager
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vertex.faults import Faults
from tests.vertex.storage import StorageServer

# Every byte value, line ends of all kinds and nearly a boundary.
BINARY = bytes(range(256)) * 3 + b"\r\n--==0=\r\r\n\n"


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def server(tmp_path: Path, faults: Faults, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with StorageServer(tmp_path / "storage", faults) as running:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", running.url)
        monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
        running.create_bucket("data")
        yield running


@pytest.fixture
def bucket(server: StorageServer) -> storage.Bucket:
    return _client().bucket("data")


@pytest.fixture
def filesystem(server: StorageServer) -> GCSFileSystem:
    return GCSFileSystem(
        endpoint_url=server.url, token="anon", project="test-project", skip_instance_cache=True
    )


def _client() -> storage.Client:
    return storage.Client(project="test-project", credentials=AnonymousCredentials())


def test_a_bucket_is_made_found_listed_and_removed(server: StorageServer) -> None:
    client = _client()
    made = client.create_bucket("made", location="europe-west4")
    assert client.get_bucket("made").location == "EUROPE-WEST4"
    assert client.get_bucket("made").project_number == 1234
    assert [found.name for found in client.list_buckets()] == ["data", "made"]
    assert made.test_iam_permissions(["storage.objects.get"]) == ["storage.objects.get"]
    with pytest.raises(exceptions.Conflict):
        client.create_bucket("made")
    made.blob("a/b").upload_from_string("x")
    with pytest.raises(exceptions.Conflict):
        made.delete()
    made.delete(force=True)
    with pytest.raises(exceptions.NotFound):
        client.get_bucket("made")
    assert not client.bucket("nowhere").exists()


def test_an_object_is_a_plain_file(server: StorageServer, bucket: storage.Bucket) -> None:
    bucket.blob("a/b.bin").upload_from_string(BINARY, content_type="application/x-test")
    assert (server.storage.root / "data" / "a" / "b.bin").read_bytes() == BINARY
    blob = bucket.get_blob("a/b.bin")
    assert blob.download_as_bytes() == BINARY
    assert blob.download_as_bytes(start=5, end=9) == BINARY[5:10]
    assert (blob.size, blob.content_type) == (len(BINARY), "application/x-test")
    blob.metadata = {"colour": "blue"}
    blob.patch()
    assert (bucket.get_blob("a/b.bin").metadata, blob.metageneration) == ({"colour": "blue"}, 2)
    blob.delete()
    assert not blob.exists()
    assert not (server.storage.root / "data" / "a").exists()


def test_a_file_that_a_mount_wrote_is_an_object(
    server: StorageServer, bucket: storage.Bucket
) -> None:
    path = server.storage.root / "data" / "out" / "model.json"
    path.parent.mkdir()
    path.write_text("{}")
    first = bucket.get_blob("out/model.json")
    assert (first.download_as_text(), first.content_type) == ("{}", "application/json")
    path.write_text('{"a": 1}')
    second = bucket.get_blob("out/model.json")
    assert second.generation > first.generation
    assert second.download_as_text() == '{"a": 1}'
    path.unlink()
    assert bucket.get_blob("out/model.json") is None


@pytest.mark.parametrize("size", [0, 1, 262144, 600000])
def test_resumable_uploads(bucket: storage.Bucket, size: int) -> None:
    content = (BINARY * 800)[:size]
    blob = bucket.blob("big", chunk_size=262144)
    blob.upload_from_file(io.BytesIO(content))
    assert bucket.get_blob("big").download_as_bytes() == content


def test_a_multipart_upload_of_the_xml_api(bucket: storage.Bucket, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(BINARY * 20)
    transfer_manager.upload_chunks_concurrently(
        str(source), bucket.blob("parts"), chunk_size=7000, worker_type=transfer_manager.THREAD
    )
    assert bucket.blob("parts").download_as_bytes() == BINARY * 20


def test_listing_in_pages_and_folders(bucket: storage.Bucket) -> None:
    names = ["a", "b/1", "b/2", "c/d/3", "e"]
    for name in names:
        bucket.blob(name).upload_from_string(name)
    assert [blob.name for blob in bucket.list_blobs(page_size=2)] == names
    listed = bucket.list_blobs(delimiter="/")
    assert [blob.name for blob in listed] == ["a", "e"]
    assert listed.prefixes == {"b/", "c/"}
    assert [blob.name for blob in bucket.list_blobs(prefix="b/")] == ["b/1", "b/2"]


def test_compose_copy_and_rewrite(server: StorageServer, bucket: storage.Bucket) -> None:
    server.create_bucket("other")
    first, second = bucket.blob("1"), bucket.blob("2 %/ü")
    first.upload_from_string(b"one ")
    second.upload_from_string(b"two")
    joined = bucket.blob("joined")
    joined.compose([first, second], if_source_generation_match=[first.generation, None])
    assert joined.download_as_bytes() == b"one two"
    with pytest.raises(exceptions.PreconditionFailed):
        joined.compose([first, second], if_source_generation_match=[1, None])
    other = _client().bucket("other")
    bucket.copy_blob(second, other, "copied")
    other.blob("rewritten").rewrite(joined)
    assert other.blob("copied").download_as_bytes() == b"two"
    assert other.blob("rewritten").download_as_bytes() == b"one two"
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.copy_blob(second, other, "copied", if_generation_match=0)
    with pytest.raises(exceptions.NotFound):
        bucket.copy_blob(bucket.blob("missing"), other, "copied")


def test_a_batch_answers_each_call(bucket: storage.Bucket) -> None:
    for name in ("a", "b"):
        bucket.blob(name).upload_from_string(name)
    with bucket.client.batch():
        bucket.blob("a").delete()
        bucket.blob("b").delete()
    assert list(bucket.list_blobs()) == []
    with pytest.raises(exceptions.NotFound), bucket.client.batch():
        bucket.blob("gone").delete()


def test_preconditions_of_every_kind_of_write(bucket: storage.Bucket) -> None:
    blob = bucket.blob("x")
    blob.upload_from_string("1", if_generation_match=0)
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.blob("x").upload_from_string("2", if_generation_match=0)
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.blob("x", chunk_size=262144).upload_from_file(
            io.BytesIO(b"2"), if_generation_match=0
        )
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.blob("x").delete(if_generation_match=1)
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.blob("x").patch(if_metageneration_match=7)
    with pytest.raises(exceptions.NotModified):
        bucket.blob("x").reload(if_generation_not_match=blob.generation)
    with pytest.raises(exceptions.NotFound):
        bucket.blob("x", generation=5).reload()
    assert bucket.blob("x").download_as_bytes() == b"1"
    bucket.blob("x").upload_from_string("3", if_generation_match=blob.generation)
    assert bucket.blob("x").download_as_bytes() == b"3"


def test_a_resumable_upload_checks_its_precondition_at_its_end(bucket: storage.Bucket) -> None:
    begun = bucket.blob("x").create_resumable_upload_session(if_generation_match=0)
    bucket.blob("x").upload_from_string("other")
    assert requests.put(begun, data=b"mine").status_code == 412
    assert bucket.blob("x").download_as_bytes() == b"other"


def test_a_chunk_may_be_sent_again(bucket: storage.Bucket) -> None:
    session = bucket.blob("x").create_resumable_upload_session()
    for _ in range(2):
        answer = requests.put(
            session, data=b"abc", headers={"Content-Range": "bytes 0-2/6"}, allow_redirects=False
        )
        assert (answer.status_code, answer.headers["Range"]) == (308, "bytes=0-2")
    told = requests.put(session, headers={"Content-Range": "bytes */6"}, allow_redirects=False)
    assert told.headers["Range"] == "bytes=0-2"
    for _ in range(2):
        done = requests.put(session, data=b"def", headers={"Content-Range": "bytes 3-5/6"})
        assert done.json()["size"] == "6"
    assert bucket.blob("x").download_as_bytes() == b"abcdef"


@settings(max_examples=25, deadline=None)
@given(
    writes=st.lists(
        st.tuples(st.sampled_from(["put", "delete", "mount"]), st.sampled_from([0, -1, 1]))
    )
)
def test_a_write_happens_exactly_when_its_generation_matches(
    tmp_path_factory: pytest.TempPathFactory, writes: list[tuple[str, int]]
) -> None:
    """A model of one object: its generation, 0 where it is absent; offsets make conditions fail."""
    with StorageServer(tmp_path_factory.mktemp("storage")) as server:
        folder = server.create_bucket("data")
        url = f"{server.url}/storage/v1/b/data/o/x"
        upload = f"{server.url}/upload/storage/v1/b/data/o?uploadType=media&name=x"
        generation = 0
        seen = set()
        for index, (kind, offset) in enumerate(writes):
            condition = f"ifGenerationMatch={max(0, generation + offset)}"
            holds = max(0, generation + offset) == generation
            if kind == "mount":
                (folder / "x").write_text("m" * (index + 1))
                generation = int(requests.get(url).json()["generation"])
                assert generation not in seen
            elif kind == "put":
                answer = requests.post(f"{upload}&{condition}", data=str(index).encode())
                assert answer.status_code == (200 if holds else 412)
                generation = int(answer.json()["generation"]) if holds else generation
            elif generation:
                answer = requests.delete(f"{url}?{condition}")
                assert answer.status_code == (204 if holds else 412)
                generation = 0 if holds else generation
            else:
                assert requests.delete(f"{url}?{condition}").status_code == 404
            seen.add(generation)
            found = requests.get(url)
            assert int(found.json().get("generation", 0)) == generation


def test_of_many_writers_one_creates(bucket: storage.Bucket) -> None:
    outcomes = []

    def write(number: int) -> None:
        try:
            bucket.blob("lock").upload_from_string(str(number), if_generation_match=0)
            outcomes.append(number)
        except exceptions.PreconditionFailed:
            pass

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 1
    assert bucket.blob("lock").download_as_text() == str(outcomes[0])


@pytest.mark.parametrize("kind", ["unavailable", "quota", "reset"])
def test_faults_are_retried_by_the_client(
    bucket: storage.Bucket, faults: Faults, kind: Any
) -> None:
    bucket.blob("x").upload_from_string("1")
    faults.inject("storage.objects.get", kind)
    assert bucket.blob("x").download_as_bytes() == b"1"
    assert faults.waiting == []


def test_a_write_whose_answer_is_lost_is_done(bucket: storage.Bucket, faults: Faults) -> None:
    faults.inject("storage.objects.insert", "unavailable", after_commit=True)
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.blob("x").upload_from_string("1", if_generation_match=0)
    assert bucket.blob("x").download_as_bytes() == b"1"


def test_missing_permission(bucket: storage.Bucket, faults: Faults) -> None:
    faults.inject("storage.buckets.get", "permission")
    with pytest.raises(exceptions.Forbidden):
        bucket.client.get_bucket("data")


def test_gcsfs(server: StorageServer, filesystem: GCSFileSystem, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "a.bin").write_bytes(BINARY)
    (source / "sub" / "b.txt").write_text("b")
    filesystem.put(f"{source}/", "data/tree/", recursive=True)
    assert (server.storage.root / "data" / "tree" / "sub" / "b.txt").read_text() == "b"
    assert filesystem.find("data/tree") == ["data/tree/a.bin", "data/tree/sub/b.txt"]
    assert sorted(filesystem.ls("data/tree")) == ["data/tree/a.bin", "data/tree/sub"]
    assert filesystem.isdir("data/tree") and filesystem.exists("data/tree/a.bin")
    filesystem.get("data/tree/", f"{tmp_path}/target/", recursive=True)
    assert (tmp_path / "target" / "a.bin").read_bytes() == BINARY
    filesystem.mv("data/tree/a.bin", "data/moved.bin")
    assert filesystem.cat_file("data/moved.bin", start=10, end=20) == BINARY[10:20]
    filesystem.rm("data/tree", recursive=True)
    assert not filesystem.exists("data/tree")


def test_gcsfs_writes_in_chunks(filesystem: GCSFileSystem) -> None:
    content = BINARY * 800
    with filesystem.open("data/big", "wb", block_size=2**18) as stream:
        stream.write(content)
    with filesystem.open("data/big", "rb", block_size=2**17) as stream:
        assert stream.read() == content


def test_fsspec_finds_the_server_by_the_environment(server: StorageServer) -> None:
    """In a process of its own: gcsfs reads one of the variables when it is imported."""
    write = """
import fsspec
with fsspec.open("gs://data/plain.txt", "wt", token="anon") as out:
    out.write("hello")
"""
    subprocess.run([sys.executable, "-c", write], check=True, timeout=60)
    assert (server.storage.root / "data" / "plain.txt").read_text() == "hello"
