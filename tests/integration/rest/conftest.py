"""Tenants, keys, an endpoint and a client that speaks the envelope."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from balancing.models import Endpoint
from conversations.models import ApiKey, Conversation, Message, Tenant, User
from scheduling.models import Attempt, Job, JobResult, Status

MODEL = "tiny"


@dataclass
class Api:
    """A client of `/api/v1` that presents one key and knows the envelope."""

    client: Client
    key: str

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        raw = body if isinstance(body, (bytes, str)) else json.dumps(body)
        response = self.client.generic(
            method,
            f"/api/v1{path}",
            raw if body is not None else b"",
            content_type=headers.pop("content_type", "application/json"),
            headers={"Authorization": f"Bearer {self.key}", **headers} if self.key else headers,
        )
        return Answer(response.status_code, response.json(), response.headers)

    def get(self, path: str) -> Answer:
        return self.call("GET", path)

    def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        return self.call("POST", path, body, **headers)

    def put(self, path: str, body: Any = None) -> Answer:
        return self.call("PUT", path, body)

    def patch(self, path: str, body: Any = None) -> Answer:
        return self.call("PATCH", path, body)

    def delete(self, path: str) -> Answer:
        return self.call("DELETE", path)

    def send(self, content: str = "hello", **fields: Any) -> dict[str, Any]:
        answer = self.post("/messages", {"user_id": "u1", "content": content, **fields})
        assert answer.status == 201, answer.body
        data: dict[str, Any] = answer.body["data"]
        return data


@dataclass
class Answer:
    status: int
    body: dict[str, Any]
    headers: Any

    @property
    def data(self) -> Any:
        assert self.body["message"] == "success", self.body
        assert self.body["code"] == self.status
        return self.body["data"]

    def refused(self, status: int, code: int, field: str | None = None) -> None:
        assert (self.status, self.body["code"]) == (status, code), self.body
        assert set(self.body) == {"code", "message", "error", "details", "timestamp"}
        assert set(self.body["details"]) == {"field", "reason"}
        if field is not None:
            assert self.body["details"]["field"] == field


@pytest.fixture
def endpoint(db: None) -> Endpoint:
    return Endpoint.objects.create(
        name="one", base_url="http://one:8000/v1", model_names=[MODEL, "other"], max_concurrent=4
    )


def api_of(tenant: Tenant, *, user: User | None = None, operator: bool = False) -> Api:
    scope = ApiKey.Scope.OPERATOR if operator else ApiKey.Scope.CLIENT
    _, key = ApiKey.objects.create_key(name="test", tenant=tenant, user=user, scope=scope)
    return Api(Client(raise_request_exception=False), key)


@pytest.fixture
def tenant(db: None) -> Tenant:
    return Tenant.objects.create(name="acme")


@pytest.fixture
def api(tenant: Tenant, endpoint: Endpoint) -> Api:
    return api_of(tenant)


@pytest.fixture
def operator(tenant: Tenant, endpoint: Endpoint) -> Api:
    return api_of(tenant, operator=True)


@pytest.fixture
def stranger(db: None, endpoint: Endpoint) -> Api:
    """A key of another tenant."""
    return api_of(Tenant.objects.create(name="other"))


def finish(message_id: str, status: Status = Status.COMPLETED, text: str = "an answer") -> Job:
    """End a job as a worker does, without the news of it."""
    job = Job.objects.get(pk=message_id.removeprefix("msg_"))
    now = timezone.now()
    Job.objects.filter(pk=job.pk).update(
        status=status,
        held_reason="",
        attempts=1,
        started_at=now,
        first_token_at=now,
        finished_at=now,
        updated_at=now,
        prompt_tokens=3,
        completion_tokens=2,
        error_code="" if status == Status.COMPLETED else "upstream_error",
    )
    if status == Status.COMPLETED:
        JobResult.objects.update_or_create(job=job, defaults={"body": "{}", "text": text})
    Attempt.objects.create(job=job, number=1, outcome="ok", started_at=now, ended_at=now)
    job.refresh_from_db()
    return job


def stored() -> tuple[int, int, int, int]:
    """Rows of everything that a request may store."""
    return (
        Message.objects.count(),
        Job.objects.count(),
        Conversation.objects.count(),
        User.objects.count(),
    )
