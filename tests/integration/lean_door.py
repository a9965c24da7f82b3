"""The lean application in this process, on a real PostgreSQL and Valkey, and a client of it.

The client sends a request and hangs up: tests look at the job that is stored of it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, MutableMapping
from typing import Any
from uuid import UUID

import orjson
import pytest

from conversations.doors.application import lean_application
from conversations.doors.lean.app import LeanApplication
from conversations.models import ApiKey
from stores.memory import Memory
from tests.hot_path import Db

ENDPOINT = """
insert into balancing_endpoint (name, base_url, model_names, api_key_variable, weight,
    max_concurrent, state, created_at, updated_at)
values ('one', 'http://one/v1', '["m"]', '', 1, 4, 'enabled', now(), now())
"""
TENANT = """
insert into conversations_tenant
    (id, name, weight, default_priority, highest_priority, is_active, created_at)
values (%(id)s, %(name)s, 1, 2, %(highest)s, true, now())
"""
USER = """
insert into conversations_user (id, tenant_id, external_id, default_priority, metadata, created_at)
values (%(id)s, %(tenant_id)s, 'u', 3, '{}', now())
"""
KEY = """
insert into conversations_apikey (id, prefix, hashed_key, name, created, revoked, scope, tenant_id,
    user_id)
values (gen_random_uuid(), %(prefix)s, %(hashed)s, 'k', now(), false, 'client', %(tenant_id)s,
        %(user_id)s)
"""
RULE = """
insert into conversations_priorityrule (name, "order", enabled, tenant_id, kind, words, pattern,
    metadata_key, metadata_value, level, created_at, updated_at)
values (%(name)s, 10, true, %(tenant_id)s, 'keyword', %(words)s, '', '', '', %(level)s, now(),
        now())
"""


class Lean:
    """The application, its database, and a client that never stays for the answer."""

    def __init__(self, app: LeanApplication, database: Db) -> None:
        self.app = app
        self.database = database

    async def key(self, tenant: UUID, *, user: UUID | None = None, highest: int = 0) -> str:
        fields = {"id": tenant, "name": str(tenant), "highest": highest}
        await self.database.run(TENANT, **fields)
        if user:
            await self.database.run(USER, id=user, tenant_id=tenant)
        key, prefix, hashed = ApiKey.objects.key_generator.generate()
        row = {"prefix": prefix, "hashed": hashed, "tenant_id": tenant, "user_id": user}
        await self.database.run(KEY, **row)
        return str(key)

    async def rule(self, name: str, words: str, level: int, tenant: UUID | None = None) -> None:
        await self.database.run(RULE, name=name, words=words, level=level, tenant_id=tenant)

    async def chat(
        self, key: str, content: Any, *, priority: str = "", **fields: Any
    ) -> tuple[Any, ...]:
        body = {"model": "m", "messages": [{"role": "user", "content": content}], **fields}
        return await self.post("/v1/chat/completions", key, body, priority)

    async def post(self, path: str, key: str, body: Any, priority: str = "") -> tuple[Any, ...]:
        """Level and reason of the job that the request became."""
        await self.database.run("delete from scheduling_job")
        headers = [(b"authorization", f"Bearer {key}".encode())]
        if priority:
            headers.append((b"x-priority", priority.encode()))
        messages = [{"type": "http.request", "body": orjson.dumps(body), "more_body": False}]
        answers: list[MutableMapping[str, Any]] = []

        async def receive() -> MutableMapping[str, Any]:
            return messages.pop() if messages else {"type": "http.disconnect"}

        async def send(message: MutableMapping[str, Any]) -> None:
            answers.append(message)

        scope = {"type": "http", "method": "POST", "path": path, "headers": headers}
        await self.app(scope, receive, send)
        assert not answers, answers
        return await self.database.one("select level, priority_reason from scheduling_job")


@pytest.fixture
async def lean(database: Db) -> AsyncIterator[Lean]:
    await database.run(ENDPOINT)
    app = lean_application(Memory())
    await app.open()
    yield Lean(app, database)
    await app.close()
