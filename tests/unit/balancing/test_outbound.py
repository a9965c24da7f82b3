"""Which addresses may be called: when a URL is stored, and when a connection is made."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from django.core.exceptions import ValidationError

from balancing import outbound
from balancing.calls.client import Client
from balancing.endpoints.target import Target
from balancing.errors import Unavailable
from balancing.kinds.call import Call, Timeouts
from balancing.validators import origin, validate_base_url
from llmqueue_project.config import configuration

METADATA = (
    "169.254.169.254",
    "169.254.1.1",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "[::ffff:169.254.169.254]",
    "[64:ff9b::a9fe:a9fe]",
    "[2002:a9fe:a9fe::1]",
    "[fe80::1]",
    "[fe80::1%eth0]",
    "[fd00:ec2::254]",
    "100.100.100.200",
    "168.63.129.16",
    "metadata.google.internal",
    "Metadata.Google.Internal.",
    "0.0.0.0",
    "[::]",
    "224.0.0.1",
    "169.254.169.254.",
    "169.254.169\u3002254",
    "\uff11\uff16\uff19.254.169.254",
    "metadata\u3002google.internal",
    "[::169.254.169.254]",
    "[64:ff9b:1::a9fe:a9fe]",
)


@pytest.mark.parametrize("host", METADATA)
def test_metadata_and_link_local_hosts_are_refused(host: str) -> None:
    with pytest.raises(ValidationError, match="may not be called"):
        validate_base_url(f"http://{host}/v1")


@pytest.mark.parametrize("host", ["a" * 64, f"gpu.{'a' * 64}.local", "gpu..local"])
def test_a_name_that_no_resolver_takes_is_refused(host: str) -> None:
    with pytest.raises(ValidationError, match="1 to 63 characters"):
        validate_base_url(f"http://{host}:8000/v1")


@pytest.mark.parametrize("host", ["a" * 63, "gpu.local.", "_http._tcp.llm.local", "bücher.local"])
def test_a_name_that_resolvers_take_is_taken(host: str) -> None:
    validate_base_url(f"http://{host}:8000/v1")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "10.0.0.7", "192.168.1.1", "gpu-1", "[::1]", "[fd12::1]", "8.8.8.8"]
)
def test_private_networks_are_where_gpus_are(host: str) -> None:
    validate_base_url(f"http://{host}:8000/v1")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://x/v1",
        "file:///etc/passwd",
        "//x/v1",
        "http:///v1",
        "http://u:p@x/v1",
        "http://@x/v1",
        "http://x/v1?key=1",
        "http://x/v1#f",
        "http://x/ v1",
        "http://x\\@y/v1",
        "http://x:0/v1",
        "http://x:99999/v1",
        "http://[::1/v1",
        "http://%31%36%39.254.169.254/v1",
    ],
)
def test_what_is_no_plain_url_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        validate_base_url(url)


def test_a_setting_allows_link_local(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configuration().balancing, "allow_link_local", True)

    validate_base_url("http://169.254.10.10/v1")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://x/v1", "https://X:443/v2", True),
        ("http://x/v1", "https://x/v1", False),
        ("http://x/v1", "http://x:8000/v1", False),
        ("http://x/v1", "http://x.evil/v1", False),
    ],
)
def test_origins(one: str, other: str, same: bool) -> None:
    assert (origin(one) == origin(other)) is same


class Rebinding(AbstractResolver):
    """A name that led somewhere harmless when its URL was checked."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            {
                "hostname": host,
                "host": "169.254.169.254",
                "port": port,
                "family": socket.AF_INET,
                "proto": 0,
                "flags": socket.AI_NUMERICHOST,
            }
        ]

    async def close(self) -> None: ...


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    made = Client()
    yield made
    await made.close()


async def failure(client: Client, url: str) -> Unavailable:
    target = Target(1, "e", url, frozenset(["m"]), "", 1.0, 8, "enabled")
    timeouts = Timeouts(connect=2, first_token=2, stall=2, total=2)
    with pytest.raises(Unavailable) as caught:
        await client.call(target, Call(uuid4(), "chat", "{}", False, timeouts), lambda *_: None)
    return caught.value


@pytest.mark.parametrize("host", ["169.254.169.254", "[fd00:ec2::254]"])
async def test_no_connection_is_made_to_a_forbidden_address(client: Client, host: str) -> None:
    error = await failure(client, f"http://{host}/v1")

    assert error.code == "connect_failed"
    assert "metadata" in str(error)


async def test_a_name_that_changed_its_mind(client: Client) -> None:
    connector = aiohttp.TCPConnector(resolver=Rebinding(), socket_factory=outbound.guarded_socket)
    await client._session.close()
    client._session = aiohttp.ClientSession(connector=connector)

    error = await failure(client, "http://harmless.example/v1")

    assert "refused to connect" in str(error)


@pytest.mark.parametrize("make", [outbound.open_socket, outbound.guarded_socket])
def test_silence_is_told_from_a_host_that_vanished(
    make: Callable[[tuple[Any, ...]], socket.socket],
) -> None:
    info = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", 9))

    with make(info) as made:
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 10
        assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 6
