"""The pipelined client, against a real Valkey and against servers that misbehave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as LostError
from redis.exceptions import ReadOnlyError, ResponseError
from redis.exceptions import TimeoutError as LateError

from llmqueue_project.embedded.services import Services
from stores.valkey import Valkey

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
async def client(services: Services, valkey: Redis) -> AsyncIterator[Redis]:
    """On the database that the fixture `valkey` emptied."""
    del valkey
    made = Valkey.from_url(services.redis_url.rsplit("/", 1)[0] + "/9", socket_timeout=5)
    async with made:
        yield made


async def server(serve: Serve) -> tuple[asyncio.Server, Redis]:
    """A server that speaks as `serve` does, and a client of it without patience."""
    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    made = Valkey.from_url(
        f"redis://127.0.0.1:{port}?protocol=2", socket_timeout=0.2, driver_info=None
    )
    return listening, made


async def test_commands_run_in_the_order_they_were_sent(client: Redis) -> None:
    sent = [client.rpush("list", number) for number in range(200)]

    lengths = await asyncio.gather(*sent)

    assert lengths == list(range(1, 201))
    assert await client.lrange("list", 0, -1) == [str(n).encode() for n in range(200)]


async def test_a_command_is_under_way_though_nobody_awaits_it(client: Redis) -> None:
    setting = client.set("name", "value")

    assert await client.get("name") == b"value"
    assert await setting is True


async def test_replies_have_redis_pys_types(client: Redis) -> None:
    await client.hset("hash", mapping={"a": 1, "b": 2.5})

    assert await client.hgetall("hash") == {b"a": b"1", b"b": b"2.5"}
    assert await client.xadd("stream", {"k": "v"}, id="1-1") == b"1-1"
    assert await client.xrange("stream") == [(b"1-1", {b"k": b"v"})]
    assert await client.get("nothing") is None
    assert await client.ping()


async def test_what_redis_py_encodes_is_encoded(client: Redis) -> None:
    await client.rpush("list", 1, 2.5, memoryview(b"bytes"), "\u00fc")

    assert await client.lrange("list", 0, -1) == [b"1", b"2.5", b"bytes", "\u00fc".encode()]


async def test_an_error_is_that_commands_alone(client: Redis) -> None:
    await client.set("text", "a")
    before, wrong, after = client.get("text"), client.rpush("text", "b"), client.get("text")

    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await wrong

    assert (await before, await after) == (b"a", b"a")


async def test_a_script_that_valkey_forgot_is_sent_again(client: Redis) -> None:
    script = client.register_script("return {KEYS[1], ARGV[1]}")
    assert await script(keys=["k"], args=[1]) == [b"k", b"1"]

    await client.script_flush()

    assert await script(keys=["k"], args=[2]) == [b"k", b"2"]


async def test_who_gives_up_takes_nobody_elses_reply(client: Redis) -> None:
    given_up, kept = asyncio.ensure_future(client.ping()), client.echo("kept")
    await asyncio.sleep(0)
    given_up.cancel()

    assert await kept == b"kept"
    assert await client.echo("next") == b"next"


async def test_after_a_broken_connection_the_next_command_opens_one(client: Redis) -> None:
    await client.set("name", "value")

    await client.client_kill_filter(_type="normal", skipme=False)

    async def lost() -> bool:
        found = await asyncio.gather(client.ping(), return_exceptions=True)
        return isinstance(found[0], LostError)

    assert any([await lost() for _ in range(20)])
    assert await client.get("name") == b"value"


async def test_large_values_pass(client: Redis) -> None:
    large = b"x" * 5_000_000

    await asyncio.gather(*(client.set(f"large{n}", large) for n in range(3)))

    assert await client.get("large2") == large


async def test_a_server_that_is_away_is_an_error_at_once_for_all(unused_tcp_port: int) -> None:
    client = Valkey.from_url(f"redis://127.0.0.1:{unused_tcp_port}")

    found = await asyncio.gather(client.ping(), client.get("a"), return_exceptions=True)

    assert [type(each) for each in found] == [LostError, LostError]
    await client.aclose()


async def test_a_server_that_falls_silent_is_given_up() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            pass
        writer.close()

    listening, client = await server(silent)

    found = await asyncio.gather(client.ping(), client.get("a"), return_exceptions=True)

    assert [type(each) for each in found] == [LateError, LateError], found
    await client.aclose()
    listening.close()


async def test_a_server_that_speaks_another_protocol_is_an_error() -> None:
    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    listening, client = await server(rude)

    with pytest.raises(LostError):
        await client.ping()

    await client.aclose()
    listening.close()


async def test_closing_fails_what_is_under_way(client: Redis) -> None:
    await client.ping()
    waiting = client.ping()

    await client.aclose()

    with pytest.raises(LostError):
        await waiting


async def test_a_primary_that_became_a_replica_is_left_for_whoever_has_its_name_now() -> None:
    connections = 0

    async def demoted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        reply = b"-READONLY You can't write against a read only replica.\r\n"
        while await reader.read(1000):
            writer.write(reply if connections == 1 else b"+OK\r\n")

    listening, client = await server(demoted)
    async with listening, client:
        with pytest.raises(ReadOnlyError):
            await client.set("name", "value")
        assert await client.set("name", "value") is True

    assert connections == 2
