"""What an endpoint's own access fields change in a call: TLS, proxy, headers, timeouts."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from django.core.exceptions import ValidationError

from balancing.calls.client import Client
from balancing.endpoints.access import Access
from balancing.endpoints.target import Target
from balancing.errors import CallError, TimedOut, Unavailable
from balancing.health.probes import Prober
from balancing.kinds.call import Call, Timeouts
from balancing.validators import validate_ca_bundle
from tests.fake_llm import FakeLLM

PATIENT = Timeouts(connect=5, first_token=5, stall=5, total=10)
ANSWER = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 34\r\n"
    b'connection: close\r\n\r\n{"choices":[{"text":"something"}]}'
)


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    made = Client()
    yield made
    await made.close()


async def call(
    client: Client, url: str, prompt: str = "x", *, stream: bool = False, **access: Any
) -> Any:
    target = Target(1, "e", url, frozenset(["m"]), "", 1.0, 8, "enabled", access=Access(**access))
    body = '{"model":"m","stream":%s,"messages":[{"role":"user","content":"%s"}]}' % (  # noqa: UP031
        "true" if stream else "false",
        prompt,
    )
    return await client.call(target, Call(uuid4(), "chat", body, stream, PATIENT), lambda *_: None)


@asynccontextmanager
async def server(context: ssl.SSLContext | None = None) -> AsyncIterator[tuple[int, list[str]]]:
    """Answers every request with an empty object; the requests it got."""
    heads: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(ANSWER)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as running:
        yield running.sockets[0].getsockname()[1], heads


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that signs itself, with its key, in one file."""
    folder = tmp_path_factory.mktemp("tls")
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    text = made.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (folder / "cert.pem").write_bytes(text)
    (folder / "both.pem").write_bytes(secret + text)
    return folder / "both.pem"


@pytest.fixture
def context(certificate: Path) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(certificate)
    return made


class TestTls:
    async def test_a_certificate_nobody_vouches_for_is_refused(
        self, client: Client, context: ssl.SSLContext
    ) -> None:
        async with server(context) as (port, heads):
            with pytest.raises(Unavailable) as refused:
                await call(client, f"https://127.0.0.1:{port}/v1")

        assert "certificate verify failed" in str(refused.value)
        assert heads == []

    async def test_the_endpoints_own_authority_is_trusted(
        self, client: Client, context: ssl.SSLContext, certificate: Path
    ) -> None:
        bundle = certificate.with_name("cert.pem").read_text()
        validate_ca_bundle(bundle)

        async with server(context) as (port, heads):
            await call(client, f"https://127.0.0.1:{port}/v1", ca_bundle=bundle)

        assert len(heads) == 1

    async def test_without_verification(self, client: Client, context: ssl.SSLContext) -> None:
        async with server(context) as (port, heads):
            await call(client, f"https://127.0.0.1:{port}/v1", verify_tls=False)

        assert len(heads) == 1

    async def test_probes_trust_whom_calls_trust(
        self, context: ssl.SSLContext, certificate: Path
    ) -> None:
        bundle = certificate.with_name("cert.pem").read_text()
        prober = Prober(timeout_seconds=5)
        async with server(context) as (port, _):
            url = f"https://127.0.0.1:{port}/v1"
            plain = Target(1, "e", url, frozenset(["m"]), "", 1.0, 8, "enabled")
            trusting = replace(plain, access=Access(ca_bundle=bundle))
            seen = [await prober.probe(target, in_use=0) for target in (plain, trusting)]
        await prober.close()

        assert "certificate verify failed" in seen[0].error
        assert seen[1].error == ""

    def test_a_private_key_is_not_kept(self, certificate: Path) -> None:
        with pytest.raises(ValidationError, match="private key"):
            validate_ca_bundle(certificate.read_text())


async def test_probes_go_where_calls_may_go() -> None:
    prober = Prober(timeout_seconds=5)
    metadata = Target(1, "e", "http://169.254.169.254/v1", frozenset(["m"]), "", 1.0, 8, "enabled")

    seen = await prober.probe(metadata, in_use=0)

    await prober.close()
    assert "refused to connect" in seen.error


async def test_extra_headers_are_sent(client: Client) -> None:
    async with server() as (port, heads):
        await call(client, f"http://127.0.0.1:{port}/v1", extra_headers=(("X-Team", "red"),))

    assert "X-Team: red\r\n" in heads[0]


async def test_a_proxy_is_asked_for_the_endpoint(client: Client) -> None:
    async with server() as (port, heads):
        await call(client, "http://gpu.example/v1", proxy_url=f"http://127.0.0.1:{port}")

    assert heads[0].startswith("POST http://gpu.example/v1/chat/completions HTTP/1.1\r\n")


async def test_an_unreadable_credential_calls_nobody(client: Client) -> None:
    async with server() as (port, heads):
        with pytest.raises(Unavailable) as refused:
            await call(client, f"http://127.0.0.1:{port}/v1", encrypted_credential="lost")

    assert refused.value.code == "credential"
    assert heads == []


@pytest.mark.parametrize(
    ("access", "prompt", "code"),
    [
        ({"first_token_timeout": 0.1}, "[[latency=5]]", "first_token_timeout"),
        ({"stall_timeout": 0.1}, "[[stall_after=1]]", "stalled"),
        ({"total_timeout": 0.1}, "[[latency=5]]", "total_timeout"),
    ],
)
async def test_its_own_timeouts(client: Client, access: Any, prompt: str, code: str) -> None:
    async with FakeLLM() as llm:
        with pytest.raises(CallError) as late:
            await call(client, llm.base_url, prompt, stream=True, **access)

    assert isinstance(late.value, TimedOut)
    assert late.value.code == code
