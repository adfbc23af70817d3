"""The gRPC side: TLS on loopback, every method of the registry by a generic handler."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from google.protobuf.message import Message

from tests.vertex.backend import Backend, Responses
from tests.vertex.errors import ApiError
from tests.vertex.faults import ConnectionDropped
from tests.vertex.rest import HOST_HEADER, check_region
from tests.vertex.services import project_grpc

_HANDLERS = {
    "unary_unary": grpc.unary_unary_rpc_method_handler,
    "unary_stream": grpc.unary_stream_rpc_method_handler,
}
# Gives a response, or the responses of a method that streams them.
Serve = Callable[[Message], Message | Responses]
_UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
_LIFE = datetime.timedelta(days=30)


class GrpcServer:
    """Serves a backend over gRPC.

    Attributes:
        address: Where it listens, host:port.
        certificate: The file of the certificate that clients must trust.
    """

    def __init__(self, backend: Backend, folder: Path, port: int = 0) -> None:
        self.certificate = folder / "certificate.pem"
        key, certificate = _make_certificate()
        self.certificate.write_bytes(certificate)
        self._server = grpc.server(ThreadPoolExecutor(32), options=_UNLIMITED)
        self._server.add_generic_rpc_handlers((_Handlers(backend),))
        credentials = grpc.ssl_server_credentials([(key, certificate)])
        bound = self._server.add_secure_port(f"127.0.0.1:{port}", credentials)
        self.address = f"127.0.0.1:{bound}"

    def start(self) -> None:
        """Begin to answer."""
        self._server.start()

    def stop(self) -> None:
        """Stop answering."""
        self._server.stop(grace=None).wait()


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        path = handler_call_details.method
        if path in project_grpc.METHODS:
            return grpc.unary_unary_rpc_method_handler(
                _behaviour(lambda request: project_grpc.serve(self._backend, path, request)),
                request_deserializer=project_grpc.METHODS[path].FromString,
                response_serializer=_serialize,
            )
        method = self._backend.registry.methods.get(path)
        make_handler = _HANDLERS.get(method.streaming) if method else None
        if method is None or make_handler is None:
            return None  # gRPC then answers UNIMPLEMENTED
        return make_handler(
            _behaviour(lambda request: self._backend.call(method, request, api="grpc")),
            request_deserializer=method.request.FromString,
            response_serializer=_serialize,
        )


def _serialize(message: Message) -> bytes:
    serialized: bytes = message.SerializeToString()
    return serialized


def _behaviour(serve: Serve) -> Callable[[Message, grpc.ServicerContext], Any]:
    def answer(request: Message, context: grpc.ServicerContext) -> Any:
        try:
            _check_region(request, context)
            return serve(request)
        except ApiError as error:
            context.abort(error.code, error.message)
        except ConnectionDropped:
            context.abort(grpc.StatusCode.UNAVAILABLE, "Connection reset by peer")
        raise AssertionError("abort raises")

    return answer


def _check_region(request: Message, context: grpc.ServicerContext) -> None:
    """Refuse a location that is not that of the host which a redirected client meant."""
    host = dict(context.invocation_metadata()).get(HOST_HEADER.lower(), "")
    for field in ("parent", "name", "endpoint"):
        value = getattr(request, field, "")
        if isinstance(value, str):
            check_region(host, value)


def _make_certificate() -> tuple[bytes, bytes]:
    """A key and a self-signed certificate for 127.0.0.1 and the hosts that it stands for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "local Vertex AI")])
    now = datetime.datetime.now(datetime.UTC)
    alternatives = [
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        x509.DNSName("localhost"),
        x509.DNSName("*.googleapis.com"),
    ]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _LIFE)
        .not_valid_after(now + _LIFE)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return (
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        certificate.public_bytes(serialization.Encoding.PEM),
    )
