"""Admin: every page of every model, actions through services, nothing secret shown."""

from __future__ import annotations

import re
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.contrib import admin
from django.test import Client
from django.urls import reverse
from pydantic import SecretStr

from balancing.endpoints import credentials
from balancing.models import Endpoint, ModelPool
from conversations.dialogue import services
from conversations.models import ApiKey, Conversation, Message, Operator, Tenant
from llmqueue_project.config import configuration
from scheduling import pauses
from scheduling.models import Flow, Job, Pause, Priority, Status
from tests.fake_llm import running_fake_llm
from tests.integration.rest.conftest import Api, finish

pytestmark = pytest.mark.integration


@pytest.fixture
def staff(db: None) -> Client:
    operator = Operator.objects.create(
        username="root", password="not$a$hash", is_staff=True, is_superuser=True
    )
    client = Client()
    client.force_login(operator)
    return client


@pytest.fixture
def world(api: Api) -> dict[str, str]:
    """One row of everything."""
    talk = api.post("/conversations", {"user_id": "u1", "title": "<b>T</b>"}).data["id"]
    done = api.send("<script>alert(1)</script>", conversation_id=talk)["id"]
    services.finish_turn(job_id=finish(done, text="<i>answer</i>").pk)
    waiting = api.send("waiting")["id"]
    dead = api.send("dead")["id"]
    finish(dead, Status.FAILED)
    return {"talk": talk, "done": done, "waiting": waiting, "dead": dead}


def ours() -> list[type[Any]]:
    labels = {"conversations", "scheduling", "balancing", "auth"}
    return [model for model in admin.site._registry if model._meta.app_label in labels]


def page(model: type[Any], name: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}", args=args)


def text(response: Any) -> str:
    return str(response.content, "utf-8")


def act(staff: Client, model: type[Any], action: str, *keys: Any) -> str:
    response = staff.post(
        page(model, "changelist"),
        {"action": action, "_selected_action": [str(key) for key in keys]},
        follow=True,
    )
    assert response.status_code == 200
    return text(response)


@pytest.mark.parametrize("model", ours(), ids=lambda model: model._meta.label)
def test_every_page_is_shown(staff: Client, world: dict[str, str], model: type[Any]) -> None:
    listing = staff.get(page(model, "changelist"))
    searched = staff.get(page(model, "changelist"), {"q": "a'b\x00% "})

    assert (listing.status_code, searched.status_code) == (200, 200)
    assert staff.get(page(model, "add")).status_code in (200, 403)
    for row in model.objects.all()[:3]:
        shown = staff.get(page(model, "change", row.pk))
        assert shown.status_code == 200
        assert "<script>alert" not in text(shown)


def test_no_page_loads_anything_from_another_host(staff: Client, world: dict[str, str]) -> None:
    for address in (reverse("admin:index"), page(Job, "changelist"), reverse("docs")):
        found = re.findall(r'(?:src|href|action)="(https?:)?//[^"]+"', text(staff.get(address)))
        assert found == [], address


@pytest.mark.parametrize("model", [Job, Message, Conversation, ApiKey])
def test_lists_cost_no_query_a_row(
    staff: Client, api: Api, model: type[Any], django_assert_max_num_queries: Any
) -> None:
    for number in range(12):
        talk = api.post("/conversations", {"user_id": f"u{number}"}).data["id"]
        api.send(str(number), conversation_id=talk, user_id=f"u{number}")

    with django_assert_max_num_queries(12):
        assert staff.get(page(model, "changelist")).status_code == 200


class TestJobs:
    def test_are_found_by_any_id(self, staff: Client, world: dict[str, str]) -> None:
        shown = text(staff.get(page(Job, "changelist"), {"q": world["waiting"]}))

        assert "1 job" in " ".join(shown.split())

    def test_dead_letters_are_a_filter(self, staff: Client, world: dict[str, str]) -> None:
        response: Any = staff.get(page(Job, "changelist"), {"dead": "yes"})

        rows = response.context["cl"].result_list
        assert [row.pk.hex for row in rows] == [world["dead"].removeprefix("msg_")]

    def test_are_cancelled(self, staff: Client, world: dict[str, str]) -> None:
        jobs = Job.objects.all()

        shown = act(staff, Job, "cancel", *(job.pk for job in jobs))

        assert "1 jobs cancelled." in shown
        assert "2 jobs were in a state that does not allow it." in shown
        assert Job.objects.filter(status=Status.CANCELLED).count() == 1

    def test_are_requeued(self, staff: Client, world: dict[str, str]) -> None:
        act(staff, Job, "requeue", world["dead"].removeprefix("msg_"))

        assert Job.objects.get(pk=world["dead"].removeprefix("msg_")).status == Status.QUEUED

    @pytest.mark.parametrize("level", list(Priority))
    def test_are_moved(self, staff: Client, world: dict[str, str], level: Priority) -> None:
        key = world["waiting"].removeprefix("msg_")

        act(staff, Job, f"to_{level.label}", key)

        assert Job.objects.get(pk=key).level == level

    def test_cannot_be_changed_by_hand(self, staff: Client, world: dict[str, str]) -> None:
        key = world["waiting"].removeprefix("msg_")

        assert staff.post(page(Job, "change", key), {"status": "completed"}).status_code == 403
        assert staff.post(page(Job, "delete", key), {"post": "yes"}).status_code == 403


class TestEndpoints:
    @pytest.mark.parametrize(
        ("action", "state"),
        [("drain", "draining"), ("disable", "disabled"), ("enable", "enabled")],
    )
    def test_are_steered(self, staff: Client, endpoint: Endpoint, action: str, state: str) -> None:
        act(staff, Endpoint, action, endpoint.pk)

        endpoint.refresh_from_db()
        assert endpoint.state == state

    def form(self, **fields: Any) -> dict[str, Any]:
        return {
            "name": "new",
            "kind": "openai",
            "base_url": "http://gpu:8000/v1",
            "model_names": "big\n\n  small \nbig",
            "weight": "1",
            "max_concurrent": "8",
            "extra_headers": "{}",
            "verify_tls": "on",
            **fields,
        }

    def test_models_are_entered_a_line_each(self, staff: Client) -> None:
        made = staff.post(page(Endpoint, "add"), self.form(apis=["chat"]))

        assert made.status_code == 302, text(made)
        row = Endpoint.objects.get(name="new")
        assert (row.model_names, row.apis) == (["big", "small"], ["chat"])
        assert "big\nsmall" in text(staff.get(page(Endpoint, "change", row.pk)))

    @pytest.mark.parametrize(
        "fields",
        [
            {"model_names": " \n "},
            {"base_url": "http://169.254.169.254/v1"},
            {"kind": "anthropic", "apis": ["embedding"]},
            {"extra_headers": '{"Authorization": "x"}'},
            {"extra_headers": "no"},
            {"credential": "no key is configured"},
            *(
                {field: value}
                for field in ("extra_headers", "model_aliases", "prices")
                for value in ("[]", '""', "null", "0", "false")
            ),
        ],
    )
    def test_bad_input_is_shown_at_its_field(self, staff: Client, fields: Any) -> None:
        answer = staff.post(page(Endpoint, "add"), self.form(**fields))

        assert answer.status_code == 200
        assert not Endpoint.objects.filter(name="new").exists()

    def test_an_emptied_box_is_none(self, staff: Client) -> None:
        boxes = ("extra_headers", "model_aliases", "prices")
        filled = {
            "extra_headers": '{"X-Team": "red"}',
            "model_aliases": '{"big": "big-q4"}',
            "prices": '{"*": {"input": 1}}',
        }
        staff.post(page(Endpoint, "add"), self.form(**filled))
        row = Endpoint.objects.get(name="new")

        cleared = self.form(**dict.fromkeys(boxes, ""))
        answer = staff.post(page(Endpoint, "change", row.pk), cleared)

        assert answer.status_code == 302, text(answer)
        row.refresh_from_db()
        assert [getattr(row, name) for name in boxes] == [{}, {}, {}]

    def test_a_credential_is_set_kept_and_taken_out(
        self, staff: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        key = SecretStr(Fernet.generate_key().decode())
        monkeypatch.setattr(configuration(), "credential_keys", key)
        secret = "sk-secret-secret-9876"
        staff.post(page(Endpoint, "add"), self.form(credential=secret))
        row = Endpoint.objects.get(name="new")
        change = page(Endpoint, "change", row.pk)

        shown = text(staff.get(change))
        assert "ends in …9876" in shown
        assert secret not in shown
        assert row.encrypted_credential not in shown
        wrong = text(staff.post(change, self.form(credential=secret, weight="x")))
        assert secret not in wrong

        elsewhere = self.form(base_url="http://evil:8000/v1")
        assert "give its credential again" in text(staff.post(change, elsewhere))
        staff.post(change, self.form(weight="2"))
        row.refresh_from_db()
        assert (row.weight, row.base_url) == (2.0, "http://gpu:8000/v1")
        assert credentials.decrypt(row.encrypted_credential) == secret

        staff.post(change, self.form(forget_credential="on"))
        row.refresh_from_db()
        assert row.encrypted_credential == ""

    def test_a_variable_moves_when_it_is_said(self, staff: Client) -> None:
        staff.post(page(Endpoint, "add"), self.form(api_key_variable="LLM_KEY"))
        row = Endpoint.objects.get(name="new")
        change = page(Endpoint, "change", row.pk)
        elsewhere = self.form(base_url="http://other:8000/v1", api_key_variable="LLM_KEY")

        assert staff.post(change, elsewhere).status_code == 200
        assert staff.post(change, elsewhere | {"send_elsewhere": "on"}).status_code == 302

        row.refresh_from_db()
        assert row.base_url == "http://other:8000/v1"

    def test_one_is_tested(self, staff: Client) -> None:
        with running_fake_llm(models="big,small") as llm:
            staff.post(page(Endpoint, "add"), self.form(base_url=llm.base_url))
            row = Endpoint.objects.get(name="new")
            assert 'value="test"' in text(staff.get(page(Endpoint, "change", row.pk)))
            tested = act(staff, Endpoint, "test", row.pk)

        assert "new, model big: answered in" in tested
        assert "connect_failed" in act(staff, Endpoint, "test", row.pk)


class TestModelPools:
    @pytest.mark.parametrize(
        ("value", "told"),
        [
            ("{}", "Enter a list, or [] for none"),
            ('""', "Enter a list, or [] for none"),
            ("null", "Enter a list, or [] for none"),
            ("0", "List at least one model name"),
            ("false", "List at least one model name"),
        ],
    )
    def test_fallbacks_are_a_list(self, staff: Client, value: str, told: str) -> None:
        form = {"pattern": "m", "hedging": "on", "fallback_models": value}

        answer = staff.post(page(ModelPool, "add"), form)

        assert answer.status_code == 200
        assert told in text(answer)
        assert not ModelPool.objects.exists()

    def test_an_emptied_box_is_none(self, staff: Client) -> None:
        form = {"pattern": "m", "hedging": "on", "fallback_models": ""}

        answer = staff.post(page(ModelPool, "add"), form)

        assert answer.status_code == 302, text(answer)
        assert ModelPool.objects.get().fallback_models == []


class TestKeys:
    def test_a_new_key_is_shown_once(self, staff: Client, tenant: Tenant) -> None:
        fields = {"name": "new", "tenant": tenant.pk, "scope": "client", "user": ""}

        first = text(staff.post(page(ApiKey, "add"), fields, follow=True))

        row = ApiKey.objects.get(name="new")
        found = re.search(rf"{row.prefix}\.\w+", first)
        assert found
        assert row.is_valid(found.group())
        for address in (page(ApiKey, "changelist"), page(ApiKey, "change", row.pk)):
            shown = text(staff.get(address))
            assert found.group() not in shown
            assert row.hashed_key not in shown

    def test_are_revoked_for_good(self, staff: Client, api: Api) -> None:
        row = ApiKey.objects.get()
        assert api.get("/messages").status == 200

        act(staff, ApiKey, "revoke", row.pk)

        api.get("/messages").refused(401, 1011)
        fields = {"name": "x", "tenant": row.tenant_id, "scope": "client", "revoked": ""}
        staff.post(page(ApiKey, "change", row.pk), fields)
        row.refresh_from_db()
        assert row.revoked


class TestOperators:
    def test_are_made_with_a_password(self, staff: Client) -> None:
        fields = {
            "username": "ada",
            "password1": "correct horse battery",
            "password2": "correct horse battery",
            "usable_password": "true",
        }

        response = staff.post(page(Operator, "add"), fields)

        assert response.status_code == 302
        assert Operator.objects.get(username="ada").check_password("correct horse battery")

    def test_get_another_password(self, staff: Client) -> None:
        row = Operator.objects.create(username="ada")
        address = reverse("admin:auth_user_password_change", args=[row.pk])
        fields = {
            "password1": "another horse",
            "password2": "another horse",
            "usable_password": "true",
        }

        assert staff.get(address).status_code == 200
        assert staff.post(address, fields).status_code == 302

        row.refresh_from_db()
        assert row.check_password("another horse")

    def test_hashes_are_not_shown(self, staff: Client) -> None:
        row = Operator.objects.get()
        row.set_password("correct horse battery")
        row.save()
        staff.force_login(row)

        assert row.password.split("$")[-1] not in text(staff.get(page(Operator, "change", row.pk)))


class TestConversations:
    def test_are_archived(self, staff: Client, world: dict[str, str]) -> None:
        act(staff, Conversation, "archive", world["talk"].removeprefix("conv_"))

        assert Conversation.objects.get().state == "archived"

    def test_messages_are_retried(self, staff: Client, world: dict[str, str]) -> None:
        act(staff, Message, "retry", world["dead"].removeprefix("msg_"))

        assert Job.objects.get(pk=world["dead"].removeprefix("msg_")).status == Status.QUEUED

    def test_messages_are_cancelled(self, staff: Client, world: dict[str, str]) -> None:
        keys = [row.pk for row in Message.objects.filter(job__isnull=False)]

        shown = act(staff, Message, "cancel", *keys)

        assert "1 messages cancelled, 2 refused" in shown
        assert Job.objects.filter(status=Status.CANCELLED).count() == 1


def test_flow_weights_can_be_changed(staff: Client, world: dict[str, str]) -> None:
    flow = Flow.objects.get()

    staff.post(page(Flow, "change", flow.pk), {"weight": "2.5"})

    flow.refresh_from_db()
    assert flow.weight == 2.5


def test_the_first_page_shows_levels_and_endpoints(staff: Client, world: dict[str, str]) -> None:
    shown = text(staff.get(reverse("admin:index")))

    for expected in ("realtime", "Oldest waits", "Slots in use", "Dead letters: 1", "/flower/"):
        assert expected in shown


def test_the_first_page_says_what_is_paused_and_why_requests_wait(
    staff: Client, world: dict[str, str]
) -> None:
    pauses.pause_level(level=Priority.LOW, reason="night shift")

    shown = text(staff.get(reverse("admin:index")))

    assert "night shift" in shown
    assert "Why requests wait" in shown


def test_strangers_are_sent_to_the_login(db: None) -> None:
    response: Any = Client().get(page(Job, "changelist"))

    assert response.status_code == 302
    assert response.url.startswith("/admin/login/")


class TestMaintenance:
    def add(self, staff: Client, **fields: str) -> str:
        return text(
            staff.post(page(Pause, "add"), {"reason": "", "key": "", **fields}, follow=True)
        )

    def test_a_pause_is_added_and_deleted(self, staff: Client, world: dict[str, str]) -> None:
        self.add(staff, scope="level", key="low", reason="new disks")

        row = Pause.objects.get()
        assert (row.scope, row.key, row.reason, row.operator) == (
            "level",
            "low",
            "new disks",
            "root",
        )
        staff.post(page(Pause, "delete", row.pk), {"post": "yes"})
        assert not Pause.objects.exists()

    def test_a_drain_is_intake_and_every_level(self, staff: Client) -> None:
        self.add(staff, scope="intake")
        self.add(staff, scope="drain", reason="move")

        assert sorted(Pause.objects.values_list("scope", flat=True)) == ["intake", *["level"] * 4]
        act(staff, Pause, "resume", *Pause.objects.values_list("pk", flat=True))
        assert not Pause.objects.exists()

    @pytest.mark.parametrize(
        ("scope", "key"),
        [("intake", "low"), ("level", "urgent"), ("tenant", "acme"), ("flow", "0"), ("flow", "x")],
    )
    def test_a_wrong_key_is_refused(self, staff: Client, scope: str, key: str) -> None:
        self.add(staff, scope=scope, key=key)

        assert not Pause.objects.exists()

    @pytest.mark.parametrize("model", [Tenant, Flow])
    def test_tenants_and_flows_are_paused(
        self, staff: Client, world: dict[str, str], model: type[Any]
    ) -> None:
        row = model.objects.get(name="acme")
        waiting = Job.objects.filter(status=Status.QUEUED).count()

        assert f"{waiting} " in act(staff, model, "pause", row.pk)
        assert not Job.objects.filter(status=Status.QUEUED).exists()
        act(staff, model, "resume", row.pk)

        assert Job.objects.filter(status=Status.QUEUED).count() == waiting
