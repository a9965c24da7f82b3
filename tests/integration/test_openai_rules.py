"""Rules at `/v1`: the lean application in this process, on a real PostgreSQL and Valkey.

A request is sent and hung up on: what is stored of it says which priority it got, and why.
"""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import psycopg
import pytest

from conversations.doors.lean.rule_reader import RuleReader
from stores import control
from tests.hot_path import Db
from tests.integration.lean_door import Lean

pytestmark = pytest.mark.integration

TENANTS = [UUID(int=n + 1) for n in range(3)]


async def test_field_rule_user_tenant(lean: Lean) -> None:
    own, shared = await lean.key(TENANTS[0], user=UUID(int=9)), await lean.key(TENANTS[1])
    await lean.rule("urgent words", "urgent\nasap", 1)

    assert await lean.chat(shared, "hello") == (2, "tenant default")
    assert await lean.chat(own, "hello") == (3, "user default")
    assert await lean.chat(own, "reply ASAP") == (1, "rule: urgent words")
    assert await lean.chat(own, "asap", priority="realtime") == (0, "asked: header X-Priority")
    assert await lean.chat(own, "asap", service_tier="flex") == (3, "asked: service_tier flex")
    assert await lean.chat(own, "asap", service_tier="auto") == (1, "rule: urgent words")


async def test_the_tenants_cap(lean: Lean) -> None:
    key = await lean.key(TENANTS[0], highest=2)

    found = await lean.chat(key, "x", priority="realtime")

    assert found == (2, "asked: header X-Priority; capped from realtime by tenant")


async def test_one_tenants_rule_is_nothing_to_another(lean: Lean) -> None:
    one, other = await lean.key(TENANTS[0]), await lean.key(TENANTS[1])
    await lean.rule("mine", "urgent", 0, TENANTS[0])

    assert await lean.chat(one, "urgent") == (0, "rule: mine")
    assert await lean.chat(other, "urgent") == (2, "tenant default")


async def test_completions_have_a_prompt(lean: Lean) -> None:
    key = await lean.key(TENANTS[0])
    await lean.rule("r", "urgent", 1)

    for prompt, level in (("so urgent", 1), (["a", "urgent"], 1), ([1, 2], 2), ("calm", 2)):
        found = await lean.post("/v1/completions", key, {"model": "m", "prompt": prompt})
        assert found[0] == level, prompt


async def test_rules_are_read_once_for_many_requests(
    lean: Lean, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await lean.key(TENANTS[0])
    reads: list[str] = []
    monkeypatch.setattr("conversations.doors.lean.rule_reader.read", _counting(reads))

    for _ in range(10):
        await lean.chat(key, "hello")

    assert len(reads) == 1


def _counting(reads: list[str]) -> Any:
    from stores.postgres import read

    async def counted(pool: Any, statement: str) -> Any:
        reads.append(statement)
        return await read(pool, statement)

    return counted


async def test_a_new_rule_counts_when_the_control_channel_says_so(lean: Lean) -> None:
    key = await lean.key(TENANTS[0])
    assert await lean.chat(key, "urgent") == (2, "tenant default")
    await lean.rule("new", "urgent", 1)

    for _ in range(100):
        await asyncio.to_thread(control.tell, rules="changed")
        await asyncio.sleep(0.05)
        found = await lean.chat(key, "urgent")
        if found[0] == 1:
            break

    assert found == (1, "rule: new")


class TestReader:
    async def test_keeps_what_it_has_while_the_database_is_away(
        self, database: Db, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        reader = RuleReader(database.pools)
        rulebook = await reader.rulebook()

        async def away(*_: Any) -> Any:
            raise psycopg.OperationalError("away")

        monkeypatch.setattr("conversations.doors.lean.rule_reader.read", away)
        reader.forget()

        assert await reader.rulebook() is rulebook

    async def test_many_wait_for_one_reading(
        self, database: Db, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        reads: list[str] = []
        monkeypatch.setattr("conversations.doors.lean.rule_reader.read", _counting(reads))
        reader = RuleReader(database.pools)

        rulebooks = await asyncio.gather(*(reader.rulebook() for _ in range(20)))

        assert len(reads) == 1
        assert len({id(rulebook) for rulebook in rulebooks}) == 1
