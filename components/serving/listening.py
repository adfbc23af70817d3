"""The socket that the server listens at: taken early, and closed without losing a connection."""

from __future__ import annotations

import ctypes
import logging
import socket
import struct
import sys
from typing import TYPE_CHECKING

from kfp_llm_tuning.components.common.errors import Problem, UserError

if TYPE_CHECKING:
    from kfp_llm_tuning.components.serving.settings import ServerSettings

# Connections that the kernel keeps until they are accepted.
BACKLOG = 2048

_SO_ATTACH_FILTER = 26
# Classic BPF that drops a packet whose flags are SYN without ACK: the first of a connection.
_NO_NEW_CONNECTIONS = (
    (0x30, 0, 0, 13),  # load the byte of the flags
    (0x54, 0, 0, 0x12),  # keep SYN and ACK
    (0x15, 0, 1, 0x02),  # SYN alone?
    (0x06, 0, 0, 0),  # then keep nothing of the packet
    (0x06, 0, 0, 0xFFFFFFFF),  # else all of it
)

_logger = logging.getLogger(__name__)


def listen(settings: ServerSettings) -> socket.socket:
    """Takes the port, before anything long begins.

    Args:
        settings: ``host`` and ``port`` are read; port 0 takes a free one.

    Returns:
        A listening socket.

    Raises:
        UserError: If the port is taken, or the address is not this machine's.
    """
    host, port = settings.host, settings.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        what = f"cannot listen at {host}, port {port}: {error}."
        raise UserError(Problem(what, "port", "a free port, or 0 to find one")) from error
    # Head and body of a response are written one after the other: without this the body waits for
    # the client to acknowledge the head, for 40 ms. Connections have it from their listener;
    # asyncio sets it itself only on sockets made with the protocol's number, which this is not.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def address(listener: socket.socket) -> str:
    """Gives the URL of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def refuse_new_connections(listener: socket.socket) -> None:
    """Has the kernel begin no more connections, while those that it has begun can be accepted.

    Closing a listener resets what waits in its backlog, and between the last look at that and the
    closing there is always a moment. Where the system has no such filter, that moment stays.

    Args:
        listener: A listening socket. A client that comes now tries again by itself, and is refused
            once the listener is closed.
    """
    if sys.platform != "linux":
        return
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in _NO_NEW_CONNECTIONS)
    buffer = ctypes.create_string_buffer(code)
    program = struct.pack("HP", len(_NO_NEW_CONNECTIONS), ctypes.addressof(buffer))
    try:
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
    except OSError as error:
        _logger.info("This kernel filters no connections: %s", error)
