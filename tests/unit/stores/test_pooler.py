"""A pooler between us and PostgreSQL is refused at start, with the reason and the setting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from llmqueue_project.embedded.services import Services
from stores.pooler import PoolerBetween, refuse_pooler
from stores.postgres import SESSION
from stores.postgres_address import parameters


@asynccontextmanager
async def refusing(message: str) -> AsyncIterator[dict[str, Any]]:
    """The address of a server that answers the startup packet with this error."""
    fields = b"SFATAL\0C08P01\0M" + message.encode() + b"\0\0"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = int.from_bytes(await reader.readexactly(4), "big")
        await reader.readexactly(size - 4)
        writer.write(b"E" + (len(fields) + 4).to_bytes(4, "big") + fields)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        yield {**parameters(f"postgresql://u:secret@127.0.0.1:{port}/d?sslmode=disable")}


@pytest.mark.parametrize(
    "message",
    [
        "unsupported startup parameter: options",
        "unsupported startup parameter in options: idle_in_transaction_session_timeout",
    ],
    ids=["old", "new"],
)
async def test_pgbouncers_refusal_names_the_reason_and_the_setting(message: str) -> None:
    async with refusing(message) as address:
        with pytest.raises(PoolerBetween) as refused:
            await refuse_pooler({**address, "gssencmode": "disable", "options": SESSION})

    said = str(refused.value)
    assert message in said
    assert "DATABASE_URL" in said
    assert "\n" not in said
    assert "secret" not in said


async def test_a_pooler_that_drops_the_settings_is_refused_too(services: Services) -> None:
    with pytest.raises(PoolerBetween, match="drops the session's settings"):
        await refuse_pooler(parameters(services.database_url))


async def test_postgresql_itself_is_taken(services: Services) -> None:
    await refuse_pooler({**parameters(services.database_url), "options": SESSION})


async def test_another_refusal_is_left_to_the_pools(unused_tcp_port: int) -> None:
    async with refusing("the database system is starting up") as address:
        await refuse_pooler({**address, "gssencmode": "disable"})
    await refuse_pooler(parameters(f"postgresql://127.0.0.1:{unused_tcp_port}/d"))
