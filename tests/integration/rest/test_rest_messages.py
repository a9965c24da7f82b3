"""Messages at the REST door: submit, look up, cancel, retry, delete."""

from __future__ import annotations

from datetime import timedelta
from io import BytesIO
from typing import Any

import orjson
import pytest
from django.core.handlers.asgi import ASGIRequest
from django.utils import timezone

from conversations.dialogue import services
from conversations.doors.rest.views.messages import Messages
from conversations.models import Message, Tenant, User
from llmqueue_project.config import configuration
from scheduling.models import Job, JobPayload, Priority, Status
from stores.memory import Memory, kept
from tests.integration.rest.conftest import Api, api_of, finish, stored

pytestmark = pytest.mark.integration


def test_a_message_is_queued(api: Api) -> None:
    answer = api.post("/messages", {"user_id": "u1", "content": "hello", "metadata": {"a": 1}})

    data = answer.data
    assert answer.status == 201
    assert data["id"].startswith("msg_")
    assert data["status"] == "pending"
    assert (data["queue_name"], data["priority"]) == ("normal", "normal")
    assert (data["retry_count"], data["max_retries"]) == (0, 2)
    assert data["position"] == 1
    assert data["estimated_wait"] >= 0
    assert data["metadata"] == {"a": 1}
    job = Job.objects.get(pk=data["id"].removeprefix("msg_"))
    assert (job.status, job.source, job.model) == (Status.QUEUED, "message", "other")
    body = orjson.loads(JobPayload.objects.get(job=job).body)
    assert (body["model"], body["stream"]) == ("other", True)
    assert body["messages"] == [{"role": "user", "content": "hello"}]


def test_position_counts_those_ahead(api: Api) -> None:
    api.send("first")

    assert api.send("second")["position"] == 2


def test_the_answer_usage_timings_and_attempts_are_shown(api: Api) -> None:
    identifier = api.send()["id"]
    job = finish(identifier, text="hi there")
    services.finish_turn(job_id=job.pk)

    data = api.get(f"/messages/{identifier}").data

    assert (data["status"], data["answer"]) == ("completed", "hi there")
    assert data["usage"] == {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    assert data["timings"]["total"] >= 0
    assert [attempt["outcome"] for attempt in data["attempts"]] == ["ok"]


def test_an_answer_not_yet_recorded_is_shown(api: Api) -> None:
    identifier = api.send()["id"]
    finish(identifier, text="hi there")

    assert api.get(f"/messages/{identifier}").data["answer"] == "hi there"


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        (b"", 400, 1014, None),
        (b"   ", 400, 1014, None),
        (b"not json", 400, 1014, None),
        (b"[1, 2]", 400, 1014, None),
        (b'"text"', 400, 1014, None),
        (b"null", 400, 1014, None),
        (b"\xff\xfe{}", 400, 1014, None),
        (b'{"user_id": "u", "content": NaN}', 400, 1014, None),
        (b'{"user_id": "u\\ud800", "content": "a"}', 400, 1006, "user_id"),
        (b'{"user_id": "u\\u0000", "content": "a"}', 400, 1006, "user_id"),
        (b'{"user_id": "u", "content": "a", "model": "tiny\\u0000"}', 400, 1014, "model"),
        (b"[" * 100_000, 400, 1014, None),
        (b'{"a":' * 100_000, 400, 1014, None),
        ({"user_id": "u"}, 400, 1001, "content"),
        ({"user_id": "u", "content": ""}, 400, 1001, "content"),
        ({"user_id": "u", "content": " \n\t"}, 400, 1001, "content"),
        ({"user_id": "u", "content": None}, 400, 1001, "content"),
        ({"user_id": "u", "content": 5}, 400, 1014, "content"),
        ({"user_id": "u", "content": ["a"]}, 400, 1014, "content"),
        ({"user_id": "u", "content": "a" * 200_001}, 400, 1002, "content"),
        ({"content": "a"}, 400, 1006, "user_id"),
        ({"user_id": "", "content": "a"}, 400, 1006, "user_id"),
        ({"user_id": "  ", "content": "a"}, 400, 1006, "user_id"),
        ({"user_id": 7, "content": "a"}, 400, 1006, "user_id"),
        ({"user_id": {"a": 1}, "content": "a"}, 400, 1006, "user_id"),
        ({"user_id": "a\nb", "content": "a"}, 400, 1006, "user_id"),
        ({"user_id": "u" * 201, "content": "a"}, 400, 1006, "user_id"),
        ({"user_id": "u", "content": "a", "priority": "urgent"}, 400, 1003, "priority"),
        ({"user_id": "u", "content": "a", "priority": 1}, 400, 1003, "priority"),
        ({"user_id": "u", "content": "a", "priority": ["high"]}, 400, 1003, "priority"),
        ({"user_id": "u", "content": "a", "model": "nope"}, 400, 1014, "model"),
        ({"user_id": "u", "content": "a", "model": 3}, 400, 1014, "model"),
        ({"user_id": "u", "content": "a", "metadata": []}, 400, 1014, "metadata"),
        ({"user_id": "u", "content": "a", "metadata": {"a": "b" * 17_000}}, 400, 1014, "metadata"),
        ({"user_id": "u", "content": "a", "timeout": 0}, 400, 1014, "timeout"),
        ({"user_id": "u", "content": "a", "timeout": -1}, 400, 1014, "timeout"),
        ({"user_id": "u", "content": "a", "timeout": "5"}, 400, 1014, "timeout"),
        ({"user_id": "u", "content": "a", "timeout": True}, 400, 1014, "timeout"),
        ({"user_id": "u", "content": "a", "timeout": 1e300}, 400, 1014, "timeout"),
        ({"user_id": "u", "content": "a", "scheduled_at": "soon"}, 400, 1014, "scheduled_at"),
        ({"user_id": "u", "content": "a", "scheduled_at": 5}, 400, 1014, "scheduled_at"),
        (
            {"user_id": "u", "content": "a", "scheduled_at": "2027-01-31T08:00:00"},
            400,
            1014,
            "scheduled_at",
        ),
        (
            {"user_id": "u", "content": "a", "scheduled_at": "9999-12-31T23:59:59-23:00"},
            400,
            1014,
            "scheduled_at",
        ),
        (
            {"user_id": "u", "content": "a", "scheduled_at": "2027-02-30T08:00:00Z"},
            400,
            1014,
            "scheduled_at",
        ),
        ({"user_id": "u", "content": "a", "conversation_id": "conv_1"}, 404, 1005, None),
        ({"user_id": "u", "content": "a", "conversation_id": 5}, 404, 1005, None),
        ({"user_id": "u", "content": "a", "conversation_id": "conv_" + "0" * 32}, 404, 1005, None),
    ],
)
def test_bad_input_is_refused_and_nothing_is_stored(
    api: Api, body: Any, status: int, code: int, field: str | None
) -> None:
    before = stored()

    answer = api.post("/messages", body)

    answer.refused(status, code, field)
    assert stored() == before


def test_metadata_may_not_be_nested_beyond_measure(api: Api) -> None:
    nested = b'{"user_id": "u", "content": "a", "metadata": ' + b'{"a":' * 500 + b"1" + b"}" * 501

    api.post("/messages", nested).refused(400, 1014, "metadata")


def test_an_oversized_body_is_refused(api: Api) -> None:
    before = stored()
    body = b'{"content": "' + b"a" * configuration().web.max_body_bytes + b'"}'

    api.post("/messages", body).refused(413, 1015)
    assert stored() == before


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
def test_the_content_type_does_not_matter(api: Api, content_type: str) -> None:
    body = {"user_id": "u1", "content": "hello"}

    assert api.post("/messages", body, content_type=content_type).status == 201
    api.post("/messages", "a=b", content_type=content_type).refused(400, 1014)


def test_a_body_without_a_length_is_read(api: Api) -> None:
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/v1/messages",
        "headers": [
            (b"authorization", f"Bearer {api.key}".encode()),
            (b"transfer-encoding", b"chunked"),
        ],
    }
    request = ASGIRequest(scope, BytesIO(b'{"user_id": "u1", "content": "hello"}'))

    assert Messages.as_view()(request).status_code == 201


@pytest.mark.parametrize("accept", ["text/html", "image/png", "nonsense"])
def test_answers_are_json_whatever_is_accepted(api: Api, accept: str) -> None:
    assert api.post("/messages", {"user_id": "u1", "content": "a"}, Accept=accept).status == 201


@pytest.mark.parametrize(
    "key", ["", "nope", "abcdefgh.secret", "ä" * 10, "a\x7fb", "a" * 10_000, "Bearer"]
)
def test_a_key_is_required(api: Api, key: str) -> None:
    before = stored()
    api.key = key.encode("latin-1", "ignore").decode("latin-1")

    answer = api.post("/messages", {"user_id": "u1", "content": "a"})

    answer.refused(401, 1011)
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert stored() == before


def test_a_revoked_key_is_refused(api: Api, tenant: Tenant) -> None:
    tenant.api_keys.update(revoked=True)

    api.post("/messages", {"user_id": "u1", "content": "a"}).refused(401, 1011)


def test_an_inactive_tenants_key_is_refused(api: Api, tenant: Tenant) -> None:
    Tenant.objects.update(is_active=False)

    api.get("/messages").refused(401, 1011)


def test_without_an_endpoint_there_is_no_model(api: Api) -> None:
    from balancing.models import Endpoint

    Endpoint.objects.all().delete()

    answer = api.post("/messages", {"user_id": "u1", "content": "a"})

    answer.refused(503, 2003)
    assert int(answer.headers["Retry-After"]) > 0


class TestPriority:
    def test_explicit_wins(self, api: Api) -> None:
        assert api.send(priority="realtime")["priority"] == "realtime"

    def test_of_the_user(self, api: Api, tenant: Tenant) -> None:
        User.objects.create(tenant=tenant, external_id="u1", default_priority=Priority.LOW)

        assert api.send()["priority"] == "low"

    def test_of_the_conversation_before_the_users(self, api: Api, tenant: Tenant) -> None:
        User.objects.create(tenant=tenant, external_id="u1", default_priority=Priority.LOW)
        talk = api.post("/conversations", {"user_id": "u1", "priority": "high"}).data["id"]

        assert api.send(conversation_id=talk)["priority"] == "high"

    def test_is_capped(self, api: Api, tenant: Tenant) -> None:
        Tenant.objects.update(highest_priority=Priority.NORMAL)

        assert api.send(priority="realtime")["priority"] == "normal"
        assert api.send(priority="low")["priority"] == "low"


def test_a_scheduled_message_is_held(api: Api) -> None:
    due = timezone.now() + timedelta(hours=2)

    data = api.send(scheduled_at=due.isoformat(), timeout=60)

    assert (data["status"], data["held_reason"]) == ("pending", "due")
    job = Job.objects.get()
    assert job.due_at == due
    assert job.deadline_at == due + timedelta(seconds=60)


def test_a_due_time_in_the_past_means_now(api: Api) -> None:
    data = api.send(scheduled_at="2020-01-01T00:00:00Z")

    assert data["held_reason"] is None


class TestList:
    def test_is_paginated(self, api: Api, django_assert_max_num_queries: Any) -> None:
        for index in range(25):
            api.send(f"number {index}")

        with django_assert_max_num_queries(6):
            first = api.get("/messages").data
        last = api.get("/messages?page=3&page_size=10").data

        assert len(first["items"]) == 20
        assert first["pagination"] == {"page": 1, "page_size": 20, "total": 25, "total_pages": 2}
        assert first["items"][0]["content"] == "number 24"
        assert len(last["items"]) == 5
        assert api.get("/messages?page=9").data["items"] == []

    def test_page_size_is_at_most_100(self, api: Api) -> None:
        assert api.get("/messages?page_size=1000").data["pagination"]["page_size"] == 100

    @pytest.mark.parametrize(
        "query",
        [
            "page=0",
            "page=-1",
            "page=x",
            "page=1.5",
            "page=99999999999999999999",
            "page=%D9%A1",
            "page_size=0",
            "page_size=x",
            "status=queued",
            "status=nope",
            "sort=content",
            "sort=created_at&order=up",
            "user_id=%00",
            "status=%00",
        ],
    )
    def test_bad_queries_are_refused(self, api: Api, query: str) -> None:
        api.get(f"/messages?{query}").refused(400, 1014)

    def test_filters(self, api: Api) -> None:
        done = api.send("done", priority="high")["id"]
        api.send("waits", user_id="u2")
        finish(done)

        assert [m["id"] for m in api.get("/messages?status=completed").data["items"]] == [done]
        assert api.get("/messages?status=pending").data["pagination"]["total"] == 1
        assert api.get("/messages?priority=high").data["items"][0]["id"] == done
        assert api.get("/messages?user_id=u2").data["items"][0]["content"] == "waits"
        assert api.get("/messages?sort=created_at").data["items"][0]["id"] == done
        assert api.get("/messages?sort_by=priority&order=desc").data["items"][1]["id"] == done
        api.get("/messages?priority=x").refused(400, 1003)
        api.get("/messages?conversation_id=x").refused(404, 1005)


class TestCancelAndRetry:
    def test_a_waiting_message_is_cancelled_at_once(self, api: Api) -> None:
        identifier = api.send()["id"]

        answer = api.post(f"/messages/{identifier}/cancel")

        assert (answer.status, answer.data["status"]) == (200, "cancelled")
        api.post(f"/messages/{identifier}/cancel").refused(409, 1013)

    def test_a_running_message_is_asked_to_end(self, api: Api) -> None:
        identifier = api.send()["id"]
        Job.objects.update(status=Status.PROCESSING)

        answer = api.put(f"/messages/{identifier}/status", {"status": "cancelled"})

        assert (answer.status, answer.data["status"]) == (202, "processing")
        assert answer.data["cancel_requested"]

    def test_a_failed_message_is_retried(self, api: Api) -> None:
        identifier = api.send()["id"]
        finish(identifier, Status.FAILED)

        assert api.post(f"/messages/{identifier}/retry").data["status"] == "pending"
        api.post(f"/messages/{identifier}/retry").refused(409, 1013)

    def test_status_pending_is_a_retry(self, api: Api) -> None:
        identifier = api.send()["id"]
        finish(identifier, Status.TIMEOUT)

        answer = api.put(f"/messages/{identifier}/status", {"status": "pending"})

        assert answer.data["status"] == "pending"

    def test_only_an_operator_revives_what_was_cancelled(self, api: Api, operator: Api) -> None:
        identifier = api.send()["id"]
        finish(identifier, Status.CANCELLED)

        api.post(f"/messages/{identifier}/retry").refused(409, 1013)
        assert operator.post(f"/messages/{identifier}/retry").data["status"] == "pending"

    @pytest.mark.parametrize("wanted", ["completed", "failed", "processing", "timeout"])
    def test_other_states_cannot_be_set(self, api: Api, wanted: str) -> None:
        identifier = api.send()["id"]

        api.put(f"/messages/{identifier}/status", {"status": wanted}).refused(409, 1013)

    @pytest.mark.parametrize("body", [b"", {}, {"status": "x"}, {"status": None}, {"status": []}])
    def test_bad_states_are_refused(self, api: Api, body: Any) -> None:
        identifier = api.send()["id"]

        api.put(f"/messages/{identifier}/status", body).refused(400, 1014)


class TestDelete:
    def test_removes_the_message_and_all_about_it(self, api: Api) -> None:
        identifier = api.send()["id"]
        services.finish_turn(job_id=finish(identifier).pk)

        assert api.delete(f"/messages/{identifier}").data == {"id": identifier, "deleted": True}
        assert (Message.objects.count(), Job.objects.count()) == (0, 0)
        api.get(f"/messages/{identifier}").refused(404, 1004)

    def test_cancels_one_that_waits(self, api: Api) -> None:
        assert api.delete(f"/messages/{api.send()['id']}").status == 200

    def test_refuses_one_that_runs(self, api: Api) -> None:
        identifier = api.send()["id"]
        Job.objects.update(status=Status.PROCESSING)

        api.delete(f"/messages/{identifier}").refused(409, 1013)
        assert Message.objects.exists()

    def test_refuses_an_answer(self, api: Api) -> None:
        services.finish_turn(job_id=finish(api.send()["id"]).pk)
        answer = Message.objects.get(role="assistant")

        api.delete(f"/messages/{answer.pk}").refused(409, 1013)


class TestIsolation:
    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", ""),
            ("DELETE", ""),
            ("POST", "/cancel"),
            ("POST", "/retry"),
            ("PUT", "/status"),
        ],
    )
    def test_another_tenants_message_is_not_found(
        self, api: Api, stranger: Api, method: str, path: str
    ) -> None:
        identifier = api.send()["id"]

        body = {"status": "cancelled"} if method == "PUT" else None
        answer = stranger.call(method, f"/messages/{identifier}{path}", body)

        answer.refused(404, 1004)
        assert Job.objects.get().status == Status.QUEUED

    def test_lists_show_ones_own(self, api: Api, stranger: Api) -> None:
        api.send()

        assert stranger.get("/messages").data["items"] == []
        assert stranger.get("/users/u1/conversations").data["items"] == []

    @pytest.mark.parametrize("identifier", ["x", "msg_", "msg_1", "..", "%00", "msg_" + "g" * 32])
    def test_impossible_ids_are_not_found(self, api: Api, identifier: str) -> None:
        api.get(f"/messages/{identifier}").refused(404, 1004)

    def test_plain_uuids_are_ids_too(self, api: Api) -> None:
        api.send()

        assert api.get(f"/messages/{Message.objects.get().pk}").status == 200

    def test_a_users_key_speaks_for_that_user(self, api: Api, tenant: Tenant) -> None:
        user = User.objects.create(tenant=tenant, external_id="bound")
        bound = api_of(tenant, user=user)
        of_another = api.send()["id"]

        refused = bound.post("/messages", {"user_id": "u1", "content": "a"})
        sent = bound.post("/messages", {"content": "a"})

        refused.refused(403, 1012)
        assert sent.data["user_id"] == "bound"
        bound.get(f"/messages/{of_another}").refused(404, 1004)

    def test_an_operators_key_may_name_anyone(self, tenant: Tenant, endpoint: Any) -> None:
        user = User.objects.create(tenant=tenant, external_id="bound")
        key = api_of(tenant, user=user, operator=True)

        assert key.send(user_id="someone")["user_id"] == "someone"
        assert key.post("/messages", {"content": "a"}).data["user_id"] == "bound"


class TestBatch:
    def test_all_are_queued(self, api: Api, django_assert_max_num_queries: Any) -> None:
        items = [{"user_id": f"u{n % 7}", "content": f"c{n}"} for n in range(500)]

        # Two of them read the queue and what was learned, as is done every second or few.
        with kept(Memory()), django_assert_max_num_queries(24):
            data = api.post("/messages/batch", {"messages": items}).data

        assert (data["count"], len(data["messages"])) == (500, 500)
        assert Job.objects.count() == Message.objects.count() == 500
        assert User.objects.count() == 7

    def test_one_bad_message_refuses_all(self, api: Api) -> None:
        before = stored()
        items: list[Any] = [{"user_id": "u", "content": "a"}, {"user_id": "u", "content": ""}]

        api.post("/messages/batch", {"messages": items}).refused(400, 1001, "messages[1].content")
        items[1] = {"user_id": "u", "content": "a", "conversation_id": "conv_" + "0" * 32}
        api.post("/messages/batch", {"messages": items}).refused(
            404, 1005, "messages[1].conversation_id"
        )
        items[1] = {"user_id": "u", "content": "a", "model": "nope"}
        api.post("/messages/batch", {"messages": items}).refused(400, 1014)
        assert stored() == before

    @pytest.mark.parametrize("messages", [None, [], {}, "x", ["x"], [[]], [None]])
    def test_bad_batches_are_refused(self, api: Api, messages: Any) -> None:
        api.post("/messages/batch", {"messages": messages}).refused(400, 1014)

    def test_too_many_are_refused(self, api: Api) -> None:
        api.post("/messages/batch", {"messages": [{}] * 10_001}).refused(400, 1014, "messages")


def test_unknown_paths_and_methods_are_refused_in_the_envelope(api: Api) -> None:
    api.get("/nothing").refused(404, 1016)
    api.post("/nothing/at/all", {}).refused(404, 1016)
    api.delete("/messages").refused(405, 1017)
    api.call("PATCH", "/messages", {}).refused(405, 1017)
