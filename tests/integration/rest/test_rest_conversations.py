"""Conversations at the REST door: lifecycle, turns, history, isolation."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from conversations.dialogue import prompting, services
from conversations.housekeeping import idle
from conversations.housekeeping.repair import repair
from conversations.models import Conversation, Message
from llmqueue_project.config import configuration
from llmqueue_project.config_sections import ConversationsConfig
from scheduling import services as scheduling
from scheduling.models import Job, JobPayload, Source, Status
from scheduling.signals import job_finished
from scheduling.specs import JobSpec, Receipt
from stores import control
from tests.integration.rest.conftest import Api, finish, stored

pytestmark = pytest.mark.integration


@pytest.fixture
def conversation(api: Api) -> str:
    answer = api.post("/conversations", {"user_id": "u1", "title": "T", "context": "Be brief."})
    identifier: str = answer.data["id"]
    return identifier


def row(identifier: str) -> Conversation:
    return Conversation.objects.get(pk=identifier.removeprefix("conv_"))


def job(message: dict[str, Any]) -> Job:
    return Job.objects.get(pk=message["id"].removeprefix("msg_"))


def prompt(message: dict[str, Any]) -> list[tuple[str, str]]:
    body = orjson.loads(JobPayload.objects.get(job=job(message)).body)
    return [(each["role"], each["content"]) for each in body["messages"]]


def announce(message: dict[str, Any]) -> None:
    found = job(message)
    job_finished.send(
        sender=Job,
        job_id=found.pk,
        source=found.source,
        status=Status(found.status),
        sequence_key=found.sequence_key,
    )


def test_a_conversation_is_opened_and_changed(api: Api, conversation: str) -> None:
    shown = api.get(f"/conversations/{conversation}").data

    assert conversation.startswith("conv_")
    assert (shown["state"], shown["user_id"], shown["message_count"]) == ("active", "u1", 0)
    changed = api.put(f"/conversations/{conversation}", {"title": "New", "priority": "high"}).data
    assert (changed["title"], changed["priority"], changed["context"]) == (
        "New",
        "high",
        "Be brief.",
    )


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        (b"", 1014, None),
        (b"{", 1014, None),
        ({}, 1006, "user_id"),
        ({"user_id": 5}, 1006, "user_id"),
        ({"user_id": "u", "title": 5}, 1014, "title"),
        ({"user_id": "u", "title": "t" * 201}, 1014, "title"),
        ({"user_id": "u", "context": 5}, 1014, "context"),
        ({"user_id": "u", "context": "c" * 200_001}, 1002, "context"),
        ({"user_id": "u", "priority": "x"}, 1003, "priority"),
        ({"user_id": "u", "metadata": 5}, 1014, "metadata"),
        ({"user_id": "u", "expires_at": "never"}, 1014, "expires_at"),
        ({"user_id": "u", "model": []}, 1014, "model"),
    ],
)
def test_bad_input_is_refused(api: Api, body: Any, code: int, field: str | None) -> None:
    before = stored()

    api.post("/conversations", body).refused(400, code, field)
    assert stored() == before


class TestState:
    @pytest.mark.parametrize(
        ("path", "last"),
        [
            (["inactive", "active", "completed", "active", "archived"], 200),
            (["active"], 200),
            (["completed", "inactive"], 409),
            (["archived", "active"], 409),
            (["archived", "archived"], 200),
        ],
    )
    def test_follows_the_lifecycle(
        self, api: Api, conversation: str, path: list[str], last: int
    ) -> None:
        answers = [
            api.put(f"/conversations/{conversation}/state", {"state": state}) for state in path
        ]

        assert [answer.status for answer in answers] == [200] * (len(path) - 1) + [last]
        if last == 409:
            answers[-1].refused(409, 1013)

    @pytest.mark.parametrize("state", ["deleted", None, 5, ""])
    def test_refuses_unknown_states(self, api: Api, conversation: str, state: Any) -> None:
        api.put(f"/conversations/{conversation}/state", {"state": state}).refused(
            400, 1014, "state"
        )

    def test_closed_conversations_take_no_messages(self, api: Api, conversation: str) -> None:
        api.put(f"/conversations/{conversation}/state", {"state": "completed"})

        answer = api.post(f"/conversations/{conversation}/messages", {"content": "a"})

        answer.refused(409, 1013)
        assert not Message.objects.exists()

    def test_expired_conversations_take_no_messages(self, api: Api, conversation: str) -> None:
        Conversation.objects.update(expires_at=timezone.now())

        api.post(f"/conversations/{conversation}/messages", {"content": "a"}).refused(409, 1013)

    def test_a_message_wakes_an_inactive_one(self, api: Api, conversation: str) -> None:
        api.put(f"/conversations/{conversation}/state", {"state": "inactive"})

        api.send(conversation_id=conversation)

        assert row(conversation).state == "active"

    def test_ages(self, api: Api, conversation: str) -> None:
        api.post("/conversations", {"user_id": "u2"})
        now = timezone.now()
        Conversation.objects.filter(pk=row(conversation).pk).update(
            last_active_at=now - timedelta(days=1)
        )
        Conversation.objects.exclude(pk=row(conversation).pk).update(expires_at=now)

        assert idle.update_states() == (1, 1)
        states = Conversation.objects.order_by("state").values_list("state", flat=True)
        assert list(states) == ["archived", "inactive"]


class TestTurns:
    def test_the_first_runs_and_the_next_waits(self, api: Api, conversation: str) -> None:
        first = api.send("one", conversation_id=conversation)
        second = api.post(f"/conversations/{conversation}/messages", {"content": "two"}).data

        assert job(first).status == Status.QUEUED
        assert (second["status"], second["held_reason"]) == ("pending", "turn")
        assert job(first).sequence_key == row(conversation).pk
        assert prompt(first) == [("system", "Be brief."), ("user", "one")]
        assert row(conversation).message_count == 2

    def test_the_answer_is_recorded_once_and_the_next_turn_has_it(
        self, api: Api, conversation: str
    ) -> None:
        first = api.send("one", conversation_id=conversation)
        second = api.send("two", conversation_id=conversation)
        finish(first["id"], text="1")

        announce(first)
        announce(first)

        assert Message.objects.filter(role="assistant").count() == 1
        assert row(conversation).message_count == 3
        assert job(second).status == Status.QUEUED
        assert prompt(second) == [
            ("system", "Be brief."),
            ("user", "one"),
            ("assistant", "1"),
            ("user", "two"),
        ]

    def test_turns_are_released_one_by_one(self, api: Api, conversation: str) -> None:
        first, second, third = (api.send(str(n), conversation_id=conversation) for n in range(3))
        finish(first["id"])

        announce(first)
        announce(first)

        assert job(second).status == Status.QUEUED
        assert job(third).status == Status.HELD

    def test_a_failed_turn_is_visible_and_releases_the_next(
        self, api: Api, conversation: str
    ) -> None:
        first = api.send("one", conversation_id=conversation)
        second = api.send("two", conversation_id=conversation)
        finish(first["id"], Status.FAILED)

        announce(first)

        assert job(second).status == Status.QUEUED
        assert prompt(second)[2] == ("assistant", "[This turn got no answer: failed.]")
        shown = api.get(f"/conversations/{conversation}/messages").data["items"]
        assert [(m["status"], m["error"] is None) for m in shown] == [
            ("failed", False),
            ("pending", True),
        ]

    def test_a_cancelled_turn_leaves_no_trace_and_releases_the_next(
        self, api: Api, conversation: str, django_capture_on_commit_callbacks: Any
    ) -> None:
        first = api.send("one", conversation_id=conversation)
        second = api.send("two", conversation_id=conversation)

        with django_capture_on_commit_callbacks(execute=True):
            api.post(f"/messages/{first['id']}/cancel")

        assert job(second).status == Status.QUEUED
        assert prompt(second) == [("system", "Be brief."), ("user", "two")]

    def test_an_answer_not_yet_recorded_is_in_the_next_prompt(
        self, api: Api, conversation: str
    ) -> None:
        first = api.send("one", conversation_id=conversation)
        finish(first["id"], text="1")

        second = api.send("two", conversation_id=conversation)

        assert ("assistant", "1") in prompt(second)

    def test_a_turn_that_ends_while_the_next_is_sent_is_in_its_prompt(
        self, api: Api, conversation: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = api.send("one", conversation_id=conversation)
        submit = scheduling.submit

        def submit_late(spec: JobSpec) -> Receipt:
            finish(first["id"], text="1")
            return submit(spec)

        monkeypatch.setattr(scheduling, "submit", submit_late)
        second = api.send("two", conversation_id=conversation)

        assert job(second).status == Status.QUEUED
        assert ("assistant", "1") in prompt(second)

    def test_a_batch_of_turns_lets_the_first_go(self, api: Api, conversation: str) -> None:
        items = [{"content": str(n), "conversation_id": conversation} for n in range(3)]

        data = api.post("/messages/batch", {"messages": items}).data

        reasons = [job(message).held_reason for message in data["messages"]]
        assert reasons == ["backlog", "turn", "turn"]
        assert row(conversation).message_count == 3

    def test_other_doors_news_is_ignored(self, api: Api, conversation: str) -> None:
        first = api.send("one", conversation_id=conversation)
        finish(first["id"])

        job_finished.send(
            sender=Job,
            job_id=job(first).pk,
            source=Source.OPENAI,
            status=Status.COMPLETED,
            sequence_key=None,
        )

        assert not Message.objects.filter(role="assistant").exists()

    def test_news_of_a_deleted_message_is_no_error(self, db: None) -> None:
        services.finish_turn(job_id=UUID(int=1))

    def test_what_a_crash_skipped_is_repaired(self, api: Api, conversation: str) -> None:
        first = api.send("one", conversation_id=conversation)
        second = api.send("two", conversation_id=conversation)
        finish(first["id"], text="1")
        Job.objects.filter(pk=job(first).pk).update(
            finished_at=timezone.now() - timedelta(seconds=30)
        )

        assert repair() == 1
        assert repair() == 0
        assert Message.objects.get(role="assistant").content == "1"
        assert job(second).status == Status.QUEUED

    def test_a_turn_without_predecessor_is_released(self, api: Api, conversation: str) -> None:
        first = api.send("one", conversation_id=conversation)
        second = api.send("two", conversation_id=conversation)
        finish(first["id"], Status.CANCELLED)

        assert repair() == 1
        assert job(second).status == Status.QUEUED


class TestHistory:
    def test_two_messages_sent_at_once_are_listed_as_a_dialogue(
        self, api: Api, conversation: str
    ) -> None:
        path = f"/conversations/{conversation}/messages"
        for question in (api.send(text, conversation_id=conversation) for text in ("1", "2")):
            finish(question["id"], text=f"answer to {question['content']}")
        for question in reversed(api.get(path).data["items"]):
            announce(question)
        said = ["1", "answer to 1", "2", "answer to 2"]

        assert [m["content"] for m in api.get(path).data["items"]] == said
        for query in ("sort=-created_at", "sort_by=created_at&order=desc"):
            assert [m["content"] for m in api.get(f"{path}?{query}").data["items"]] == said[::-1]
        second = api.get(f"{path}?page=2&page_size=2").data["items"]
        assert [m["content"] for m in second] == said[2:]

    def test_shows_questions_and_answers(
        self, api: Api, conversation: str, django_assert_max_num_queries: Any
    ) -> None:
        for number in range(5):
            sent = api.send(str(number), conversation_id=conversation)
            finish(sent["id"], text=f"answer {number}")
            announce(sent)

        with django_assert_max_num_queries(6):
            data = api.get(f"/conversations/{conversation}/messages").data

        assert data["pagination"]["total"] == 10
        assert [m["role"] for m in data["items"][:2]] == ["user", "assistant"]
        assert data["items"][1]["reply_to"] == data["items"][0]["id"]
        assert data["items"][1]["status"] == "completed"
        answer_id = data["items"][1]["id"]
        assert api.get(f"/messages/{answer_id}").data["content"] == "answer 0"


class TestDelete:
    def test_cancels_what_waits(
        self, api: Api, conversation: str, django_capture_on_commit_callbacks: Any
    ) -> None:
        for number in range(3):
            api.send(str(number), conversation_id=conversation)

        with django_capture_on_commit_callbacks(execute=False):
            answer = api.delete(f"/conversations/{conversation}")

        assert answer.data["deleted"]
        assert (Message.objects.count(), Job.objects.count()) == (0, 0)

    def test_takes_as_many_statements_however_many_turns_wait(
        self, api: Api, django_capture_on_commit_callbacks: Any
    ) -> None:
        """Two thousand turns once took 140 s, in one request."""
        statements = []
        for turns in (3, 60):
            name = api.post("/conversations", {"user_id": "u1"}).data["id"]
            batch = [{"content": "a", "conversation_id": name, "user_id": "u1"}] * turns
            assert api.post("/messages/batch", {"messages": batch}).status == 201
            with (
                CaptureQueriesContext(connection) as captured,
                django_capture_on_commit_callbacks(execute=True) as callbacks,
            ):
                assert api.delete(f"/conversations/{name}").data["deleted"]
            statements.append((len(captured), len(callbacks)))

        assert statements[0] == statements[1]
        assert (Message.objects.count(), Job.objects.count()) == (0, 0)

    def test_tells_those_who_follow_a_waiting_turn(
        self, api: Api, conversation: str, django_capture_on_commit_callbacks: Any
    ) -> None:
        waiting = [api.send(str(n), conversation_id=conversation)["id"] for n in range(2)]

        with django_capture_on_commit_callbacks(execute=True):
            api.delete(f"/conversations/{conversation}")

        for identifier in waiting:
            stream: Any = control.client().xrange(f"llmq:out:{identifier.removeprefix('msg_')}")
            [(_, entry)] = stream
            assert b'"cancelled"' in entry[b"d"]

    @pytest.mark.parametrize("claimed", ["before", "meanwhile"])
    def test_refuses_while_a_turn_runs_and_changes_nothing(
        self, api: Api, conversation: str, claimed: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        running = api.send(conversation_id=conversation)
        waiting = api.send(conversation_id=conversation)
        run = Job.objects.filter(pk=job(running).pk)
        if claimed == "before":
            run.update(status=Status.PROCESSING)
        else:
            withdraw = scheduling.withdraw

            def late(**ids: Any) -> bool:
                run.update(status=Status.PROCESSING)
                return withdraw(**ids)

            monkeypatch.setattr(scheduling, "withdraw", late)

        api.delete(f"/conversations/{conversation}").refused(409, 1013)

        assert job(waiting).status == Status.HELD
        assert not job(running).cancel_requested


class TestLists:
    def test_filters(self, api: Api, conversation: str) -> None:
        other = api.post("/conversations", {"user_id": "u2", "priority": "low"}).data["id"]

        assert api.get("/conversations").data["pagination"]["total"] == 2
        assert api.get("/conversations?user_id=u1").data["items"][0]["id"] == conversation
        assert api.get("/conversations?priority=low").data["items"][0]["id"] == other
        assert api.get("/conversations?state=archived").data["items"] == []
        assert api.get("/users/u2/conversations").data["items"][0]["id"] == other
        assert api.get("/users/a%2Fb/conversations").data["items"] == []
        api.get("/conversations?state=x").refused(400, 1014)
        api.get("/users/%00/conversations").refused(400, 1006)


class TestIsolation:
    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("GET", "", None),
            ("PUT", "", {"title": "mine"}),
            ("DELETE", "", None),
            ("PUT", "/state", {"state": "archived"}),
            ("GET", "/messages", None),
            ("POST", "/messages", {"user_id": "x", "content": "a"}),
        ],
    )
    def test_another_tenants_is_not_found(
        self, stranger: Api, conversation: str, method: str, path: str, body: Any
    ) -> None:
        before = stored()

        stranger.call(method, f"/conversations/{conversation}{path}", body).refused(404, 1005)

        assert stored() == before
        assert row(conversation).title == "T"

    def test_nor_by_its_id_in_the_body(self, stranger: Api, conversation: str) -> None:
        before = stored()
        body = {"user_id": "x", "content": "a", "conversation_id": conversation}

        stranger.post("/messages", body).refused(404, 1005)
        stranger.get(f"/messages?conversation_id={conversation}").refused(404, 1005)
        assert stored() == before

    def test_another_user_does_not_speak_in_it(self, api: Api, conversation: str) -> None:
        body = {"user_id": "u2", "content": "a", "conversation_id": conversation}

        api.post("/messages", body).refused(400, 1006, "user_id")


@pytest.mark.parametrize("policy", ["drop_oldest", "refuse"])
def test_a_history_beyond_the_models_context_is_cut_or_refused(
    api: Api, conversation: str, monkeypatch: pytest.MonkeyPatch, policy: str
) -> None:
    small = ConversationsConfig(context_tokens=256, answer_tokens=0, truncation=policy)
    config = configuration().model_copy(update={"conversations": small})
    monkeypatch.setattr(prompting, "configuration", lambda: config)
    first = api.send("q" * 900, conversation_id=conversation)
    assert first["analysis"]["history"]["dropped"] == 0
    finish(first["id"], text="a" * 400)

    second = api.post("/messages", {"content": "now", "conversation_id": conversation})

    if policy == "refuse":
        second.refused(400, 1002, "conversation_id")
    else:
        history = second.data["analysis"]["history"]
        assert (history["turns"], history["dropped"], history["policy"]) == (0, 1, "drop_oldest")
