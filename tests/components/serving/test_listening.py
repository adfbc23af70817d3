"""The listening socket."""

from __future__ import annotations

import socket
import sys

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.serving.listening import address, listen, refuse_new_connections
from kfp_llm_tuning.components.serving.settings import ServerSettings


def test_free_port_is_found_and_told() -> None:
    with listen(ServerSettings(port=0)) as listener:
        port = listener.getsockname()[1]
        assert address(listener) == f"http://127.0.0.1:{port}"
        socket.create_connection(("127.0.0.1", port)).close()


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
def test_address_of_ipv6() -> None:
    with listen(ServerSettings(port=0, host="::1")) as listener:
        assert address(listener) == f"http://[::1]:{listener.getsockname()[1]}"


def test_port_that_is_taken() -> None:
    with listen(ServerSettings(port=0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port}: .*in use.* or 0 to find one"):
            listen(ServerSettings(port=port))


@pytest.mark.parametrize("host", ["203.0.113.1", "no.such.invalid"])
def test_address_that_cannot_be_listened_at(host: str) -> None:
    with pytest.raises(UserError, match="cannot listen"):
        listen(ServerSettings(host=host, port=0))


def test_connections_do_not_wait_for_acknowledgements() -> None:
    with (
        listen(ServerSettings(port=0)) as listener,
        socket.create_connection(listener.getsockname()),
    ):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux filters connections")
def test_new_connections_are_not_begun_and_begun_ones_are_kept() -> None:
    with listen(ServerSettings(port=0)) as listener, socket.socket() as late:
        place = listener.getsockname()
        with socket.create_connection(place) as early:
            refuse_new_connections(listener)
            late.settimeout(0.2)
            with pytest.raises(TimeoutError):
                late.connect(place)
            early.sendall(b"hello")
            accepted, _ = listener.accept()
            with accepted:
                assert accepted.recv(5) == b"hello"
                accepted.sendall(b"answer")
            assert early.recv(6) == b"answer"
