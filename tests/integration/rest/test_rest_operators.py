"""What only operators may do, and what everyone may see of the queues."""

from __future__ import annotations

import time
from typing import Any

import pytest
import redis
from cryptography.fernet import Fernet
from django.db import OperationalError
from pydantic import SecretStr

from balancing.fitting.learned import KEY, Lesson
from balancing.live.state import live_key
from balancing.models import Endpoint
from llmqueue_project.config import configuration
from scheduling.errors import Maintenance, QueueFull
from scheduling.models import Job, Status
from stores.control import client
from tests.integration.rest.conftest import Api, finish

pytestmark = pytest.mark.integration

NEW = {"name": "two", "base_url": "http://two:8000/v1", "models": ["big"]}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/config"),
        ("GET", "/endpoints"),
        ("POST", "/endpoints"),
        ("GET", "/endpoints/stats"),
        ("PATCH", "/endpoints/1"),
        ("GET", "/resources"),
        ("POST", "/resources"),
        ("GET", "/resources/stats"),
        ("DELETE", "/endpoints/1"),
        ("DELETE", "/endpoints/1/refused-fields"),
        ("GET", "/model-pools"),
        ("POST", "/model-pools"),
        ("PATCH", "/model-pools/1"),
        ("DELETE", "/model-pools/1"),
        ("DELETE", "/admin/queues/normal/msg_" + "0" * 32),
        ("POST", "/admin/dead-letter/requeue/msg_" + "0" * 32),
        ("POST", "/admin/dead-letter/requeue-all"),
    ],
)
def test_clients_may_not(api: Api, method: str, path: str) -> None:
    api.call(method, path, NEW).refused(403, 1012)
    api.key = ""
    api.call(method, path, NEW).refused(401, 1011)


def test_config_masks_secrets(operator: Api) -> None:
    data = operator.get("/config").data

    assert data["scheduling"]["max_attempts"] == configuration().scheduling.max_attempts
    text = str(data)
    for secret in (
        configuration().database_url,
        configuration().redis_url,
        configuration().secret_key,
    ):
        assert secret.get_secret_value() not in text
    assert data["database_url"] == "**********"


class TestEndpoints:
    def test_are_registered_changed_and_removed(self, operator: Api) -> None:
        created = operator.post("/endpoints", NEW | {"weight": 2, "max_concurrent": 3})
        identifier = created.data["id"]
        changed = operator.patch(f"/endpoints/{identifier}", {"state": "draining", "weight": 1.5})

        assert created.status == 201
        assert created.data["state"] == "enabled"
        assert (changed.data["state"], changed.data["weight"]) == ("draining", 1.5)
        assert changed.data["models"] == ["big"]
        assert operator.get("/endpoints").data["pagination"]["total"] == 2
        assert operator.delete(f"/endpoints/{identifier}").data["deleted"]
        assert Endpoint.objects.count() == 1

    def test_refused_fields_are_shown_and_forgotten(self, operator: Api) -> None:
        identifier = operator.get("/endpoints").data["items"][0]["id"]
        lesson = Lesson(identifier, "m", "user", time.time(), "unknown user")
        client().hset(KEY, lesson.name, lesson.value)

        (shown,) = operator.get("/endpoints").data["items"][0]["refused_fields"]
        forgotten = operator.delete(f"/endpoints/{identifier}/refused-fields").data

        assert (shown["field"], shown["model"], shown["text"]) == ("user", "m", "unknown user")
        assert forgotten == {"id": identifier, "forgotten": 1}
        assert operator.get("/endpoints").data["items"][0]["refused_fields"] == []

    @pytest.mark.parametrize(
        ("body", "status", "code", "field"),
        [
            (b"", 400, 1014, None),
            ({}, 400, 1014, None),
            (NEW | {"name": "a b"}, 400, 1014, "name"),
            (NEW | {"name": None}, 400, 1014, "name"),
            (NEW | {"base_url": "ftp://x"}, 400, 1014, "base_url"),
            (NEW | {"base_url": "http://u:p@x/v1"}, 400, 1014, "base_url"),
            (NEW | {"base_url": 5}, 400, 1014, None),
            (NEW | {"models": []}, 400, 1014, "models"),
            (NEW | {"models": "big"}, 400, 1014, "models"),
            (NEW | {"models": [5]}, 400, 1014, "models"),
            (NEW | {"weight": 0}, 400, 1014, "weight"),
            (NEW | {"weight": "x"}, 400, 1014, None),
            (NEW | {"weight": None}, 400, 1014, None),
            (NEW | {"weight": 1e999}, 400, 1014, None),
            (NEW | {"max_concurrent": 0}, 400, 1014, "max_concurrent"),
            (NEW | {"max_concurrent": 10**12}, 400, 1014, None),
            (NEW | {"max_concurrent": [1]}, 400, 1014, None),
            (NEW | {"api_key_variable": "lower"}, 400, 1014, "api_key_variable"),
            (NEW | {"state": "gone"}, 400, 1014, "state"),
            (NEW | {"name": "one"}, 409, 1013, "name"),
        ],
    )
    def test_bad_input_is_refused(
        self, operator: Api, body: Any, status: int, code: int, field: str | None
    ) -> None:
        operator.post("/endpoints", body).refused(status, code, field)
        assert Endpoint.objects.count() == 1

    def test_how_an_endpoint_is_reached(self, operator: Api) -> None:
        access = {
            "kind": "azure_openai",
            "apis": ["embedding", "chat"],
            "api_version": "2024-10-21",
            "extra_headers": {"X-Team": "red"},
            "proxy_url": "http://proxy:3128",
            "first_token_timeout": 300,
            "requests_per_minute": 60,
            "tokens_per_minute": 90_000,
        }

        created = operator.post("/endpoints", NEW | access)

        assert created.status == 201
        expected = access | {"apis": ["chat", "embedding"]}
        assert {name: created.data[name] for name in access} == expected
        changed = operator.patch(f"/endpoints/{created.data['id']}", {"requests_per_minute": None})
        assert changed.data["requests_per_minute"] is None
        assert changed.data["first_token_timeout"] == 300

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"base_url": "http://169.254.169.254/v1"}, "base_url"),
            ({"base_url": "http://[fd00:ec2::254]/v1"}, "base_url"),
            ({"proxy_url": "http://169.254.169.254:80"}, "proxy_url"),
            ({"proxy_url": "socks5://x"}, "proxy_url"),
            ({"kind": "bard"}, "kind"),
            ({"kind": None}, "kind"),
            ({"kind": ["openai"]}, "kind"),
            ({"apis": ["chat", "images"]}, "apis"),
            ({"apis": "chat"}, "apis"),
            ({"apis": [[]]}, "apis"),
            ({"kind": "anthropic", "apis": ["embedding"]}, "apis"),
            ({"extra_headers": {"Authorization": "x"}}, "extra_headers"),
            ({"extra_headers": {"x-API-key": "x"}}, "extra_headers"),
            ({"extra_headers": {"A": "b\r\nAuthorization: c"}}, "extra_headers"),
            ({"extra_headers": {"A b": "c"}}, "extra_headers"),
            ({"extra_headers": {"A": 5}}, "extra_headers"),
            ({"extra_headers": ["A"]}, "extra_headers"),
            ({"ca_bundle": "certificate"}, "ca_bundle"),
            ({"ca_bundle": "-----BEGIN PRIVATE KEY-----"}, "ca_bundle"),
            ({"verify_tls": False}, "verify_tls"),
            ({"connect_timeout": 0}, "connect_timeout"),
            ({"total_timeout": 1e9}, "total_timeout"),
            ({"requests_per_minute": 0}, "requests_per_minute"),
            ({"tokens_per_minute": -5}, "tokens_per_minute"),
            ({"api_version": "2024&x=1"}, "api_version"),
            ({"credential": 5}, "credential"),
            ({"credential": "a\nb"}, "credential"),
        ],
    )
    def test_bad_access_is_refused(self, operator: Api, body: Any, field: str) -> None:
        operator.post("/endpoints", NEW | body).refused(400, 1014, field)
        assert Endpoint.objects.count() == 1

    @pytest.mark.parametrize(
        ("field", "values"),
        [
            ("extra_headers", [[], "", None, 0, False]),
            ("prices", [[], "", None, 0, False]),
            ("model_aliases", [[], "", None, 0, False]),
            ("apis", [{}, "", None, 0, False]),
            ("models", [{}, "", None, 0, False]),
            ("api_key_variable", [[], {}, None]),
            ("api_version", [[], {}, None]),
            ("ca_bundle", [[], {}, None]),
            ("proxy_url", [[], {}, None]),
            ("discover", [[], {}, None]),
            ("connect_timeout", [[], {}, ""]),
            ("requests_per_minute", [[], {}, ""]),
        ],
    )
    def test_an_empty_value_of_another_kind_is_refused(
        self, operator: Api, endpoint: Endpoint, field: str, values: list[Any]
    ) -> None:
        for value in values:
            body = NEW | {"discover_models": True, field: value}
            operator.post("/endpoints", body).refused(400, 1014, field)
            changed = {"discover_models": True, field: value}
            operator.patch(f"/endpoints/{endpoint.pk}", changed).refused(400, 1014, field)

        assert Endpoint.objects.count() == 1
        assert operator.get("/endpoints").data["pagination"]["total"] == 1

    def test_a_credential_is_written_and_never_read(
        self, operator: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        key = SecretStr(Fernet.generate_key().decode())
        monkeypatch.setattr(configuration(), "credential_keys", key)
        secret = "sk-secret-secret-9876"

        created = operator.post("/endpoints", NEW | {"credential": secret})
        path = f"/endpoints/{created.data['id']}"

        told = created.data["credential"]
        assert (told["is_set"], told["ends_in"]) == (True, "9876")
        assert told["set_at"]
        for answer in (created, operator.get("/endpoints"), operator.get("/config")):
            assert secret not in str(answer.body)
            assert key.get_secret_value() not in str(answer.body)
        row = Endpoint.objects.get(pk=created.data["id"])
        assert row.encrypted_credential not in str(operator.get("/endpoints").body)

        elsewhere = {"base_url": "http://evil:8000/v1"}
        operator.patch(path, elsewhere).refused(400, 1014, "credential")
        row.refresh_from_db()
        assert row.base_url == NEW["base_url"]
        assert operator.patch(path, elsewhere | {"credential": "sk-other"}).status == 200
        gone = operator.patch(path, {"credential": None})
        assert gone.data["credential"] == {"is_set": False, "set_at": None, "ends_in": None}

    def test_a_variable_does_not_move_by_itself(self, operator: Api) -> None:
        created = operator.post("/endpoints", NEW | {"api_key_variable": "LLM_KEY"})
        path = f"/endpoints/{created.data['id']}"
        elsewhere = {"base_url": "http://evil:8000/v1"}

        operator.patch(path, elsewhere).refused(400, 1014, "api_key_variable")

        stated = operator.patch(path, elsewhere | {"api_key_variable": "LLM_KEY"})
        assert stated.data["base_url"] == "http://evil:8000/v1"

    @pytest.mark.parametrize("identifier", ["0", "999", "9" * 30, "x", "-1"])
    def test_unknown_ones_are_not_found(self, operator: Api, identifier: str) -> None:
        operator.patch(f"/endpoints/{identifier}", {"weight": 1}).refused(404, 1016)
        operator.delete(f"/endpoints/{identifier}").refused(404, 1016)

    def test_stats(self, operator: Api, api: Api) -> None:
        item = operator.get("/endpoints/stats").data["items"][0]

        assert (item["name"], item["max_concurrent"]) == ("one", 4)
        assert item["last_hour"]["attempts"] == 0
        assert (item["health"], item["learned_limit"], item["ejected_until"]) == (
            "healthy",
            None,
            None,
        )

    def test_stats_say_what_workers_know(self, operator: Api) -> None:
        identifier = operator.get("/endpoints/stats").data["items"][0]["id"]
        live = {"ejected_until": int(time.time() * 1000) + 20_000, "limit": "3.7", "token": "0.02"}
        client().hset(live_key(identifier), mapping=live)  # type: ignore[arg-type]

        try:
            item = operator.get("/endpoints/stats").data["items"][0]
        finally:
            client().delete(live_key(identifier))

        assert (item["health"], item["learned_limit"]) == ("ejected", 3)
        assert item["token_seconds"] == 0.02
        assert item["ejected_until"].endswith("Z")


class TestModelPools:
    def test_a_pool_is_made_changed_and_deleted(self, operator: Api) -> None:
        body = {"pattern": "llama-*", "profile": "affinity", "fallback_models": ["tiny"]}
        created = operator.post("/model-pools", body)
        identifier = created.data["id"]

        assert (created.status, created.data["hedging"]) == (201, True)
        operator.post("/model-pools", body).refused(409, 1013, "pattern")
        changed = operator.patch(f"/model-pools/{identifier}", {"hedging": False, "profile": ""})
        assert (changed.data["hedging"], changed.data["profile"]) == (False, "")
        assert changed.data["fallback_models"] == ["tiny"]
        patient = operator.patch(f"/model-pools/{identifier}", {"first_token_timeout": 900})
        assert (patient.data["first_token_timeout"], patient.data["stall_timeout"]) == (900, None)
        assert operator.get("/model-pools").data["pagination"]["total"] == 1
        assert operator.delete(f"/model-pools/{identifier}").data["deleted"]
        operator.delete(f"/model-pools/{identifier}").refused(404, 1016)

    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({"profile": "no_such"}, "profile"),
            ({"profile": "os.system"}, "profile"),
            ({"profile": "balancing.policies.profiles.Profile"}, "profile"),
            ({"profile": 3}, "profile"),
            ({"pattern": "has space"}, "pattern"),
            ({"pattern": ""}, "pattern"),
            ({"fallback_models": "tiny"}, "fallback_models"),
            ({"fallback_models": [1]}, "fallback_models"),
            ({"fallback_models": ""}, "fallback_models"),
            ({"fallback_models": {}}, "fallback_models"),
            ({"fallback_models": None}, "fallback_models"),
            ({"fallback_models": False}, "fallback_models"),
            ({"hedging": "yes"}, "hedging"),
            ({"stall_timeout": 0}, "stall_timeout"),
            ({"first_token_timeout": 1e9}, "first_token_timeout"),
            ({"first_token_timeout": "soon"}, "first_token_timeout"),
        ],
    )
    def test_what_is_not_valid_is_refused(
        self, operator: Api, fields: dict[str, object], field: str
    ) -> None:
        operator.post("/model-pools", {"pattern": "m", **fields}).refused(400, 1014, field)


class TestResources:
    def test_are_endpoints_by_their_slots(self, operator: Api) -> None:
        added = operator.post("/resources", NEW | {"total": 3})
        listed = operator.get("/resources").data

        assert added.status == 201
        assert (added.data["type"], added.data["total"], added.data["used"]) == (
            "llm_endpoint",
            3,
            0,
        )
        assert [item["name"] for item in listed["items"]] == ["one", "two"]
        assert (listed["items"][1]["available"], listed["items"][1]["status"]) == (3, "enabled")

    def test_stats_count_a_slot_for_each_model_it_serves(self, operator: Api) -> None:
        operator.post("/resources", NEW | {"models": ["tiny"], "total": 3})
        drained = operator.post("/resources", NEW | {"name": "three", "total": 9}).data["id"]
        operator.patch(f"/endpoints/{drained}", {"state": "draining"})

        stats = operator.get("/resources/stats").data

        assert (stats["total"], stats["used"], stats["available"]) == (7, 0, 7)
        assert stats["resources"] == {"enabled": 2, "draining": 1, "disabled": 0}
        assert {each["model"]: each["total"] for each in stats["models"]} == {"tiny": 7, "other": 4}

    def test_a_group_is_its_members(self, operator: Api) -> None:
        operator.post("/endpoints", NEW | {"discover": "dns"})

        assert [item["name"] for item in operator.get("/resources").data["items"]] == ["one"]

    @pytest.mark.parametrize(
        ("fields", "status", "code", "field"),
        [
            ({"type": "gpu"}, 400, 1014, "type"),
            ({"total": 0}, 400, 1014, "total"),
            ({"total": "x"}, 400, 1014, None),
            ({"models": []}, 400, 1014, "models"),
            ({"base_url": ""}, 400, 1014, "base_url"),
            ({"name": "one"}, 409, 1013, "name"),
        ],
    )
    def test_bad_input(
        self, operator: Api, fields: dict[str, Any], status: int, code: int, field: str | None
    ) -> None:
        operator.post("/resources", NEW | fields).refused(status, code, field)
        assert Endpoint.objects.count() == 1


class TestJobs:
    def test_a_waiting_job_is_taken_off_its_queue(self, operator: Api, stranger: Api) -> None:
        identifier = stranger.send()["id"]

        operator.delete(f"/admin/queues/high/{identifier}").refused(404, 1004)
        operator.delete(f"/admin/queues/urgent/{identifier}").refused(400, 1003)
        operator.delete("/admin/queues/normal/nonsense").refused(404, 1004)
        data = operator.delete(f"/admin/queues/normal/{identifier}").data

        assert data["status"] == "cancelled"
        operator.delete(f"/admin/queues/normal/{identifier}").refused(409, 1013)

    def test_dead_letters_are_requeued(self, operator: Api, stranger: Api) -> None:
        dead = [stranger.send(str(n))["id"] for n in range(3)]
        for identifier in dead:
            finish(identifier, Status.FAILED)

        one = operator.post(f"/admin/dead-letter/requeue/{dead[0]}")
        rest = operator.post("/admin/dead-letter/requeue-all")

        assert one.data["status"] == "queued"
        assert rest.data == {"requeued": 2, "remaining": 0}
        assert set(Job.objects.values_list("status", flat=True)) == {"queued"}
        operator.post(f"/admin/dead-letter/requeue/{dead[0]}").refused(409, 1013)
        operator.post("/admin/dead-letter/requeue/msg_" + "0" * 32).refused(404, 1004)

    def test_each_requeue_grants_as_many_attempts_as_the_last(
        self, operator: Api, stranger: Api
    ) -> None:
        """The sum once doubled each time, until it fitted its column no more."""
        dead = stranger.send("x")["id"]
        allowed = configuration().scheduling.max_attempts
        for attempts in (allowed, 2 * allowed, 3 * allowed):
            finish(dead, Status.FAILED)
            Job.objects.update(attempts=attempts)

            operator.post("/admin/dead-letter/requeue-all")

            assert Job.objects.get().max_attempts == attempts + allowed


class TestQueues:
    def test_status(self, api: Api) -> None:
        api.send(priority="high")

        data = api.get("/queues/status").data

        sizes = {queue["queue_name"]: queue["size"] for queue in data["queues"]}
        assert sizes == {"realtime": 0, "high": 1, "normal": 0, "low": 0}
        assert data["slots"]["total"] == 4

    @pytest.mark.parametrize("span", ["1h", "6h", "24h", "7d"])
    def test_stats(self, api: Api, span: str) -> None:
        finish(api.send(priority="low")["id"])
        finish(api.send(priority="low")["id"], Status.FAILED)

        data = api.get(f"/queues/stats?time_range={span}").data

        low = next(queue for queue in data["queues"] if queue["queue_name"] == "low")
        assert (low["processed"], low["failed"], low["error_rate"]) == (1, 1, 0.5)
        assert data["total"]["processed"] == 1

    @pytest.mark.parametrize("span", ["2h", "", "%00", "1h; drop table"])
    def test_other_spans_are_refused(self, api: Api, span: str) -> None:
        api.get(f"/queues/stats?time_range={span}").refused(400, 1014)


class TestRefusalsOfTheServer:
    """What submit or the servers raise, as the client sees it."""

    @pytest.mark.parametrize(
        ("error", "status", "code", "wait"),
        [
            (QueueFull(12.3), 503, 1007, "13"),
            (Maintenance(60), 503, 1008, "60"),
            (OperationalError("the database is away: secret"), 503, 2001, "5"),
            (redis.exceptions.ConnectionError("secret"), 503, 2002, "5"),
            (RuntimeError("secret"), 500, 2004, None),
        ],
    )
    def test_is_an_envelope(
        self,
        api: Api,
        monkeypatch: pytest.MonkeyPatch,
        error: Exception,
        status: int,
        code: int,
        wait: str | None,
    ) -> None:
        def refuse(_spec: object) -> None:
            raise error

        monkeypatch.setattr("scheduling.services.submit", refuse)

        answer = api.post("/messages", {"user_id": "u1", "content": "a"})

        answer.refused(status, code)
        assert answer.headers.get("Retry-After") == wait
        assert "secret" not in str(answer.body)
        assert not Job.objects.exists()
