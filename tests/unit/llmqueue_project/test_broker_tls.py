"""`rediss://`: every client verifies the server before it says a word, or does not connect."""

from __future__ import annotations

import datetime
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from kombu import Connection

from llmqueue_project.settings import broker_tls

PASSWORD = "sentinel"


def certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for `localhost`, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public, private = folder / "cert.pem", folder / "key.pem"
    public.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return public, private


@dataclass
class Impostor:
    """Somebody who listens where the broker should, and notes what it is told."""

    port: int
    ca: Path
    heard: bytearray = field(default_factory=bytearray)


@pytest.fixture
def impostor(tmp_path: Path) -> Iterator[Impostor]:
    public, private = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = Impostor(server.getsockname()[1], public)

        def serve() -> None:
            while True:
                try:
                    peer, _ = server.accept()
                except OSError:
                    return
                try:
                    with context.wrap_socket(peer, server_side=True) as secured:
                        secured.settimeout(2)
                        found.heard += secured.recv(4096)
                except OSError:
                    peer.close()

        threading.Thread(target=serve, daemon=True).start()
        yield found


def connect(url: str) -> None:
    """As Celery connects, which is also beat's and Flower's way."""
    options = {"socket_connect_timeout": 2, "socket_timeout": 2}
    with Connection(url, ssl=broker_tls(url) or False, transport_options=options) as connection:
        connection.ensure_connection(max_retries=1, timeout=3)
        getattr(connection.default_channel, "client").ping()  # noqa: B009 - of redis alone


def test_c5_a_server_that_cannot_prove_who_it_is_hears_no_password(impostor: Impostor) -> None:
    with pytest.raises(Exception, match=r"(?i)certificate"):
        connect(f"rediss://:{PASSWORD}@localhost:{impostor.port}/0")

    assert PASSWORD.encode() not in impostor.heard


def test_c5_one_that_the_given_ca_vouches_for_does(impostor: Impostor) -> None:
    url = f"rediss://:{PASSWORD}@localhost:{impostor.port}/0?ssl_ca_certs={impostor.ca}"

    with pytest.raises(Exception, match=r"(?i)closed|connection"):
        connect(url)

    assert PASSWORD.encode() in impostor.heard


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("redis://h/0", None),
        ("rediss://h/0", (ssl.CERT_REQUIRED, True)),
        ("rediss://h/0?ssl_check_hostname=false", (ssl.CERT_REQUIRED, False)),
        ("rediss://h/0?ssl_cert_reqs=none", (ssl.CERT_NONE, False)),
    ],
)
def test_only_the_url_itself_turns_checks_off(
    url: str, wanted: tuple[ssl.VerifyMode, bool] | None
) -> None:
    found = broker_tls(url)

    seen = None if found is None else (found["ssl_cert_reqs"], found["ssl_check_hostname"])
    assert seen == wanted
