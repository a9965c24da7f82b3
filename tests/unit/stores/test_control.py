"""The control channel's listener: connections that break loudly, quietly, or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections.abc import AsyncIterator
from typing import Any, cast
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from structlog.testing import capture_logs

from llmqueue_project.embedded.services import Services
from stores import control
from stores.valkey import Valkey

CHANNEL = "test:control"


class Subscription(PubSub):
    """redis-py's, which counts what it is asked and stops whoever asks for ever."""

    messages = 0
    pings = 0

    async def get_message(self, *args: Any, **options: Any) -> Any:
        self.messages += 1
        assert self.messages < 1000, "the listener spins"
        return await super().get_message(*args, **options)

    def ping(self, message: Any = None) -> Any:
        self.pings += 1
        return super().ping(message)

    def time_out(self) -> None:
        """What asyncio does when the kernel gives up a peer that acknowledges nothing."""
        cast(Any, self.connection)._reader.set_exception(OSError(errno.ETIMEDOUT, "timed out"))


class Client:
    """A client whose subscriptions can be seen."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self.subscriptions: list[Subscription] = []

    def pubsub(self, **options: Any) -> Subscription:
        self.subscriptions.append(made := Subscription(self._client.connection_pool, **options))
        return made


class Proxy:
    """Passes bytes between clients and Valkey; connections that fell silent pass nothing."""

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)
        self._passing: list[asyncio.Task[None]] = []
        self._last_silent = 0
        self.connections = 0

    async def __aenter__(self) -> Proxy:
        self._listening = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listening.close()
        for task in self._passing:
            task.cancel()
        await asyncio.gather(*self._passing, return_exceptions=True)

    @property
    def url(self) -> str:
        port = self._listening.sockets[0].getsockname()[1]
        return self._url._replace(netloc=f":{self._url.password}@127.0.0.1:{port}").geturl()

    def fall_silent(self) -> None:
        """The present connections stay open, and nothing that is sent on them arrives."""
        self._last_silent = self.connections

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        answers, requests = await asyncio.open_connection(self._url.hostname, self._url.port)
        for source, target in ((reader, requests), (answers, writer)):
            self._passing.append(asyncio.create_task(self._pass(number, source, target)))

    async def _pass(
        self, number: int, source: asyncio.StreamReader, target: asyncio.StreamWriter
    ) -> None:
        with contextlib.closing(target):
            while data := await source.read(65536):
                if number > self._last_silent:
                    target.write(data)


class Listener:
    """A listener at work, and what it has heard."""

    def __init__(self, client: Redis | Client, **options: Any) -> None:
        self._heard: asyncio.Queue[bytes] = asyncio.Queue()
        self.task = asyncio.create_task(
            control.listen(cast(Redis, client), CHANNEL, self._heard.put_nowait, **options)
        )

    async def hears(self, valkey: Redis, news: bytes) -> None:
        """Wait until it has heard news that are published again and again."""
        async with asyncio.timeout(10):
            while self._heard.empty() or self._heard.get_nowait() != news:
                assert not self.task.done(), self.task.exception()
                await valkey.publish(CHANNEL, news)
                await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def listening(client: Redis | Client, **options: Any) -> AsyncIterator[Listener]:
    listener = Listener(client, **options)
    try:
        yield listener
    finally:
        listener.task.cancel()
        await asyncio.gather(listener.task, return_exceptions=True)


async def test_a_timed_out_socket_is_replaced(valkey: Redis) -> None:
    client = Client(valkey)
    async with listening(client) as listener:
        await listener.hears(valkey, b"before")

        client.subscriptions[0].time_out()
        await listener.hears(valkey, b"after")

    first, second = client.subscriptions
    assert first.connection is None
    assert first.pings == 1
    assert second.pings == 0


class Deaf:
    """A client and its subscription, where nothing ever comes and nobody waits for it."""

    def __init__(self) -> None:
        self.asked = 0

    def pubsub(self, **_: Any) -> Deaf:
        return self

    async def __aenter__(self) -> Deaf:
        return self

    async def __aexit__(self, *_: object) -> None:
        return

    async def subscribe(self, channel: str) -> None:
        return

    async def ping(self) -> None:
        return

    async def get_message(self, *, timeout: float) -> None:
        self.asked += 1
        assert self.asked < 1000, "the listener spins"


async def test_a_listener_that_gets_nothing_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    client, pauses = Deaf(), []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            raise asyncio.CancelledError

    monkeypatch.setattr("stores.control.asyncio.sleep", pause)
    with pytest.raises(asyncio.CancelledError):
        await control.listen(cast(Redis, client), CHANNEL, lambda _: None)

    assert pauses == [control.RECONNECT_SECONDS] * 3
    assert client.asked == 2 * 3


async def test_a_connection_that_falls_silent_is_replaced(
    services: Services, valkey: Redis
) -> None:
    async with Proxy(services.redis_url) as proxy, Valkey.from_url(proxy.url) as client:
        async with listening(client, quiet_seconds=0.2) as listener:
            await listener.hears(valkey, b"before")

            proxy.fall_silent()
            await listener.hears(valkey, b"after")

        assert proxy.connections == 2


@pytest.mark.parametrize("protocol", [2, 3])
async def test_a_quiet_connection_is_kept_while_it_answers(
    services: Services, valkey: Redis, protocol: int
) -> None:
    async with Valkey.from_url(services.redis_url, protocol=protocol) as quiet:
        client = Client(quiet)
        async with listening(client, quiet_seconds=0.5) as listener:
            await listener.hears(valkey, b"before")
            (subscription,) = client.subscriptions

            async with asyncio.timeout(10):
                while subscription.pings < 2:
                    await asyncio.sleep(0.01)
            await listener.hears(valkey, b"after")

        assert client.subscriptions == [subscription]


async def test_news_that_nobody_can_take_end_no_listener(valkey: Redis) -> None:
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    def receive(news: bytes) -> None:
        if news == b"bad":
            raise ValueError("not JSON")
        heard.put_nowait(news)

    task = asyncio.create_task(control.listen(valkey, CHANNEL, receive))
    async with asyncio.timeout(10):
        while heard.empty():
            await valkey.publish(CHANNEL, b"bad")
            await valkey.publish(CHANNEL, b"good")
            await asyncio.sleep(0.01)

    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_an_outage_is_one_line_however_often_it_is_tried(
    unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "RECONNECT_SECONDS", 0.01)
    client = Valkey.from_url(f"redis://127.0.0.1:{unused_tcp_port}", retry=Retry(NoBackoff(), 0))
    with capture_logs() as logs:
        async with listening(client):
            await asyncio.sleep(0.2)

    assert [line["log_level"] for line in logs if line["log_level"] != "debug"] == ["info"]
