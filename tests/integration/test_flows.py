"""Whose flow a request is counted in: the same row, whichever door it came by (`flow_by`)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.core.management import call_command
from django.test import Client

from balancing.services import register
from conversations.models import ApiKey, Tenant, User
from llmqueue_project.config import configuration
from scheduling.models import Flow, Job
from tests.hot_path import MODEL
from tests.integration.lean_door import Lean

pytestmark = pytest.mark.integration

CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}
BATCH = {"custom_id": "c1", "method": "POST", "url": "/v1/chat/completions", "body": CHAT}
FORMS: dict[str, dict[str, Any]] = {
    "chat": CHAT,
    "batch": BATCH,
    "completion": {"prompt": "once", "model": MODEL},
    "message": {"content": "a message", "model": MODEL},
}
FLOW_OF_JOBS = """
select f.key, f.name, f.weight
  from scheduling_job j join scheduling_flow f on f.id = j.flow_id
"""
Row = tuple[str, str, float]


def tenants_row(tenant: Tenant) -> Row:
    return f"tenant:{tenant.pk}", tenant.name, tenant.weight


def users_row(tenant: Tenant, user: User) -> Row:
    return (
        f"tenant:{tenant.pk}:user:{user.pk}",
        f"{tenant.name} / {user.external_id}",
        tenant.weight,
    )


@pytest.fixture(params=["tenant", "user"])
def flow_by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(configuration().scheduling, "flow_by", request.param)
    return str(request.param)


class TestOpenAI:
    TENANT, USER = UUID(int=1), UUID(int=9)

    async def test_a_key_that_is_bound_to_a_user(self, lean: Lean, flow_by: str) -> None:
        key = await lean.key(self.TENANT, user=self.USER)

        await lean.chat(key, "hello")

        expected = {
            "tenant": (f"tenant:{self.TENANT}", str(self.TENANT), 1.0),
            "user": (f"tenant:{self.TENANT}:user:{self.USER}", f"{self.TENANT} / u", 1.0),
        }
        assert await lean.database.one(FLOW_OF_JOBS) == expected[flow_by]

    @pytest.mark.usefixtures("flow_by")
    async def test_a_key_of_the_whole_tenant(self, lean: Lean) -> None:
        key = await lean.key(self.TENANT)

        await lean.chat(key, "hello")

        row = (f"tenant:{self.TENANT}", str(self.TENANT), 1.0)
        assert await lean.database.one(FLOW_OF_JOBS) == row


@pytest.fixture
def tenant(db: None) -> Tenant:
    register(name="e", base_url="http://localhost:1/v1", model_names=[MODEL])
    return Tenant.objects.create(name="acme", weight=2.5)


def user_of(tenant: Tenant, name: str) -> User:
    return User.objects.create(tenant=tenant, external_id=name)


def flows_of_jobs() -> list[Row]:
    flows = {flow.pk: flow for flow in Flow.objects.all()}
    found = [flows[job.flow_id] for job in Job.objects.order_by("id")]
    return [(flow.key, flow.name, flow.weight) for flow in found]


class TestREST:
    def post(self, tenant: Tenant, path: str, body: Any, user: User | None = None) -> None:
        _, key = ApiKey.objects.create_key(name="test", tenant=tenant, user=user)
        answer = Client().post(
            f"/api/v1{path}",
            json.dumps(body),
            content_type="application/json",
            headers={"Authorization": f"Bearer {key}"},
        )
        assert answer.status_code == 201, answer.content

    def test_a_message_of_a_user_that_the_body_names(self, tenant: Tenant, flow_by: str) -> None:
        user = user_of(tenant, "u1")

        self.post(tenant, "/messages", {"user_id": "u1", "content": "hello"})

        expected = {"tenant": tenants_row(tenant), "user": users_row(tenant, user)}
        assert flows_of_jobs() == [expected[flow_by]]

    def test_a_message_of_the_keys_own_user(self, tenant: Tenant, flow_by: str) -> None:
        user = user_of(tenant, "u1")

        self.post(tenant, "/messages", {"content": "hello"}, user)

        expected = {"tenant": tenants_row(tenant), "user": users_row(tenant, user)}
        assert flows_of_jobs() == [expected[flow_by]]

    def test_a_batch_of_several_users(self, tenant: Tenant, flow_by: str) -> None:
        one, other = user_of(tenant, "u1"), user_of(tenant, "u2")
        messages = [{"user_id": name, "content": "hello"} for name in ("u1", "u2", "u1")]

        self.post(tenant, "/messages/batch", {"messages": messages})

        expected = {
            "tenant": [tenants_row(tenant)] * 3,
            "user": [users_row(tenant, user) for user in (one, other, one)],
        }
        assert sorted(flows_of_jobs()) == sorted(expected[flow_by])


class TestBulkLines:
    def submit(self, folder: Path, line: Any, *options: str) -> None:
        path = folder / "requests.jsonl"
        path.write_text(f"{json.dumps(line)}\n")
        call_command("bulk_submit", str(path), "--tenant", "acme", *options)

    @pytest.mark.parametrize("form", FORMS)
    def test_a_line_for_a_user(
        self, tenant: Tenant, flow_by: str, tmp_path: Path, form: str
    ) -> None:
        user = user_of(tenant, "u1")

        self.submit(tmp_path, FORMS[form], "--user", "u1")

        expected = {"tenant": tenants_row(tenant), "user": users_row(tenant, user)}
        assert flows_of_jobs() == [expected[flow_by]]

    @pytest.mark.usefixtures("flow_by")
    @pytest.mark.parametrize("form", ["chat", "batch", "completion"])
    def test_a_line_for_no_user_is_the_tenants(
        self, tenant: Tenant, tmp_path: Path, form: str
    ) -> None:
        self.submit(tmp_path, FORMS[form])

        assert flows_of_jobs() == [tenants_row(tenant)]

    def test_a_message_names_its_user_itself(
        self, tenant: Tenant, flow_by: str, tmp_path: Path
    ) -> None:
        user = user_of(tenant, "u1")

        self.submit(tmp_path, FORMS["message"] | {"user_id": "u1"})

        expected = {"tenant": tenants_row(tenant), "user": users_row(tenant, user)}
        assert flows_of_jobs() == [expected[flow_by]]


def test_a_users_row_is_one_whichever_door_names_it(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The sum of a user's requests is one flow: its share of a level is not doubled."""
    monkeypatch.setattr(configuration().scheduling, "flow_by", "user")
    user = user_of(tenant, "u1")

    TestREST().post(tenant, "/messages", {"content": "hello"}, user)
    for form in FORMS.values():
        TestBulkLines().submit(tmp_path, form, "--user", "u1")

    assert set(flows_of_jobs()) == {users_row(tenant, user)}
