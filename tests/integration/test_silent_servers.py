"""Servers that fall silent: nothing waits for them without a bound, and all works afterwards."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil
import psycopg
import pytest
from redis.asyncio import Redis

from conversations.doors.lean.leaving import Leaving
from conversations.doors.lean.readiness import Readiness
from llmqueue_project.config import configuration
from llmqueue_project.embedded.services import Services
from stores.postgres import Database, fetch

pytestmark = pytest.mark.integration


@pytest.fixture
def services() -> Iterator[Services]:
    with Services(durable=False) as running:
        yield running


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """A server and its children, stopped: their kernel still acknowledges what is sent."""
    # The head first: it starts no further children, and one may end while it is looked up.
    os.kill(pid, signal.SIGSTOP)
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    for member in family:
        with suppress(ProcessLookupError):
            os.kill(member.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for member in family:
            with suppress(ProcessLookupError):
                os.kill(member.pid, signal.SIGCONT)


async def test_a_frozen_database_fails_statements_in_time_and_is_back_at_once(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", services.database_url)
    configuration.cache_clear()
    try:
        async with Database(2) as database:
            await fetch(database.durable, "select 1")
            with frozen(services.postgres.pid):
                async with asyncio.timeout(3):
                    with pytest.raises(psycopg.OperationalError):
                        await fetch(database.durable, "select 1", seconds=0.3)
            async with asyncio.timeout(5):
                assert await fetch(database.durable, "select 2") == [(2,)]
    finally:
        configuration.cache_clear()


async def test_readiness_tells_within_two_seconds_that_the_database_is_frozen(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", services.database_url)
    configuration.cache_clear()
    client = Redis.from_url(services.redis_url)
    try:
        async with Database(2) as database:
            readiness = Readiness(database, client, Leaving())
            loop = asyncio.get_running_loop()
            with frozen(services.postgres.pid):
                for _ in range(2):
                    began = loop.time()
                    status, body = await readiness.answer()
                    assert (status, b'"postgresql":{"status":"down"' in body) == (503, True)
                    assert loop.time() - began < 2.0
    finally:
        configuration.cache_clear()
        await client.aclose()
