"""Priorities by rule, user and tenant at the REST door; the rules' own resource and admin page."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from conversations.models import Message, Operator, PriorityRule, Tenant, User
from conversations.priority.rules import MOST_RULES
from scheduling import services
from scheduling.models import Job, Priority
from stores.memory import Memory, kept
from tests.integration.rest.conftest import Api, api_of

pytestmark = pytest.mark.integration

RULES = "/admin/preprocessor/rules"
USERS = "/admin/preprocessor/user-priorities"
URGENT = {"name": "urgent words", "type": "keyword", "keywords": ["urgent"], "priority": "high"}


def level_and_reason(message: dict[str, Any]) -> tuple[str, str]:
    return message["priority"], message["priority_reason"]


class TestPriorities:
    def test_come_from_the_field_the_rule_the_user_and_the_tenant(self, operator: Api) -> None:
        operator.post(RULES, URGENT)
        operator.post(USERS, {"user_id": "slow", "priority": "low"})

        def sent(content: str, **fields: Any) -> tuple[str, str]:
            return level_and_reason(operator.send(content, **fields))

        assert sent("hello") == ("normal", "tenant default")
        assert sent("hello", user_id="slow") == ("low", "user default")
        assert sent("It is URGENT", user_id="slow") == ("high", "rule: urgent words")
        assert sent("urgent", priority="realtime") == ("realtime", "asked: body priority")

    def test_a_conversations_priority_is_the_clients_word(self, operator: Api) -> None:
        operator.post(RULES, URGENT)
        conversation = operator.post("/conversations", {"user_id": "u1", "priority": "low"}).data[
            "id"
        ]

        sent = operator.send("urgent", conversation_id=conversation)

        assert level_and_reason(sent) == ("low", "asked: conversation")

    def test_are_capped_by_the_tenant(self, operator: Api, tenant: Tenant) -> None:
        Tenant.objects.filter(pk=tenant.pk).update(highest_priority=Priority.NORMAL)
        operator.post(RULES, URGENT)

        sent = operator.send("urgent")

        reason = "rule: urgent words; capped from high by tenant"
        assert level_and_reason(sent) == ("normal", reason)

    def test_of_a_batch_are_chosen_one_by_one(self, operator: Api) -> None:
        operator.post(RULES, URGENT)
        items = [{"user_id": "u", "content": text} for text in ("urgent", "hello", "very urgent")]

        batch = operator.post("/messages/batch", {"messages": items}).data["messages"]

        details = [operator.get(f"/messages/{each['id']}").data for each in batch]
        assert [each["priority"] for each in details] == ["high", "normal", "high"]

    @pytest.mark.parametrize(
        ("rule", "content", "metadata"),
        [
            ({"type": "regex", "pattern": r"(?i)order #\d+"}, "about Order #17", {}),
            ({"type": "length", "max_chars": 20}, "short", {}),
            ({"type": "metadata", "metadata_key": "vip", "metadata_value": "1"}, "x", {"vip": 1}),
        ],
    )
    def test_follow_rules_of_any_kind(
        self, operator: Api, rule: dict[str, Any], content: str, metadata: dict[str, Any]
    ) -> None:
        operator.post(RULES, {"name": "r", "priority": "realtime", **rule})

        assert operator.send(content, metadata=metadata)["priority_reason"] == "rule: r"
        assert operator.send("something else entirely")["priority_reason"] == "tenant default"

    def test_the_lowest_order_that_matches_decides(self, operator: Api) -> None:
        operator.post(RULES, URGENT | {"order": 20})
        first = operator.post(
            RULES, URGENT | {"name": "first", "order": 10, "priority": "low"}
        ).data["id"]

        assert operator.send("urgent")["priority_reason"] == "rule: first"
        operator.patch(f"{RULES}/{first}", {"enabled": False})
        assert operator.send("urgent")["priority_reason"] == "rule: urgent words"

    def test_one_tenants_rule_is_nothing_to_another(
        self, operator: Api, stranger: Api, tenant: Tenant
    ) -> None:
        operator.post(RULES, URGENT | {"tenant_id": str(tenant.pk)})

        assert operator.send("urgent")["priority"] == "high"
        assert stranger.send("urgent")["priority_reason"] == "tenant default"

    def test_a_rule_for_all_tenants_is_one_for_each(self, operator: Api, stranger: Api) -> None:
        operator.post(RULES, URGENT)

        assert stranger.send("urgent")["priority_reason"] == "rule: urgent words"

    def test_rules_are_not_read_for_each_message(self, operator: Api) -> None:
        operator.post(RULES, URGENT)
        seen: list[str] = []

        def watch(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            seen.append(sql)
            return execute(sql, params, many, context)

        with kept(Memory()):
            operator.send("urgent")
            with connection.execute_wrapper(watch):
                operator.send("urgent again")

        assert not [sql for sql in seen if "priorityrule" in sql]

    def test_a_rule_that_no_longer_compiles_is_left_out(self, operator: Api) -> None:
        operator.post(RULES, URGENT)
        PriorityRule.objects.create(name="broken", kind="regex", pattern="(", level=0, order=1)

        assert operator.send("urgent (")["priority_reason"] == "rule: urgent words"

    def test_moving_a_job_is_a_reason_of_its_own(self, operator: Api) -> None:
        sent = operator.send("hello")

        services.reprioritise(job_id=Job.objects.get().pk, level=Priority.LOW)

        shown = operator.get(f"/messages/{sent['id']}").data
        assert level_and_reason(shown) == ("low", "moved by an operator")


class TestAnalysis:
    def test_stands_beside_the_clients_metadata(self, api: Api) -> None:
        sent = api.send("What is the time in Paris?", metadata={"analysis": "mine"})

        data = api.get(f"/messages/{sent['id']}").data
        assert data["metadata"] == {"analysis": "mine"}
        assert data["analysis"] == {
            "script": "latin",
            "language": "en",
            "is_question": True,
            "estimated_tokens": 7,
        }

    def test_is_null_where_there_is_none(self, api: Api) -> None:
        sent = api.send()
        Message.objects.update(analysis=None)

        assert api.get(f"/messages/{sent['id']}").data["analysis"] is None


class TestRules:
    def test_are_made_shown_changed_and_removed(self, operator: Api, tenant: Tenant) -> None:
        created = operator.post(
            RULES, URGENT | {"keywords": [" urgent ", "as soon as possible"], "order": 5}
        )
        identifier = created.data["id"]
        changed = operator.patch(
            f"{RULES}/{identifier}", {"priority": "realtime", "tenant_id": str(tenant.pk)}
        )

        assert created.status == 201
        assert created.data["keywords"] == ["urgent", "as soon as possible"]
        assert (created.data["enabled"], created.data["tenant_id"]) == (True, None)
        assert changed.data["tenant_id"] == str(tenant.pk)
        assert changed.data["keywords"] == created.data["keywords"]
        assert operator.get(f"{RULES}/{identifier}").data == changed.data
        page = operator.get(RULES).data
        assert (page["items"], page["pagination"]["total"]) == ([changed.data], 1)
        assert operator.delete(f"{RULES}/{identifier}").data["deleted"]
        operator.get(f"{RULES}/{identifier}").refused(404, 1016)

    def test_another_type_drops_the_condition_it_had(self, operator: Api) -> None:
        identifier = operator.post(RULES, URGENT).data["id"]

        changed = operator.patch(f"{RULES}/{identifier}", {"type": "length", "min_chars": 9}).data

        assert (changed["type"], changed["keywords"], changed["min_chars"]) == ("length", [], 9)

    def test_are_listed_in_order(self, operator: Api) -> None:
        for name, order in (("c", 3), ("a", 1), ("b", 2)):
            operator.post(RULES, URGENT | {"name": name, "order": order})

        assert [each["name"] for each in operator.get(RULES).data["items"]] == ["a", "b", "c"]

    @pytest.mark.parametrize(
        ("change", "status", "code", "field"),
        [
            ({"name": None}, 400, 1014, "name"),
            ({"name": "a\nb"}, 400, 1014, "name"),
            ({"name": "n" * 101}, 400, 1014, "name"),
            ({"name": "taken"}, 409, 1013, "name"),
            ({"type": "weather"}, 400, 1014, "type"),
            ({"type": None}, 400, 1014, "type"),
            ({"priority": "urgent"}, 400, 1003, "priority"),
            ({"priority": None}, 400, 1003, "priority"),
            ({"priority": 1}, 400, 1003, "priority"),
            ({"order": -1}, 400, 1014, "order"),
            ({"order": "1"}, 400, 1014, "order"),
            ({"order": 10**12}, 400, 1014, "order"),
            ({"enabled": "yes"}, 400, 1014, "enabled"),
            ({"enabled": None}, 400, 1014, "enabled"),
            ({"tenant_id": "acme"}, 400, 1014, "tenant_id"),
            ({"tenant_id": 5}, 400, 1014, "tenant_id"),
            ({"tenant_id": str(uuid4())}, 400, 1014, "tenant_id"),
            ({"keywords": []}, 400, 1014, "keywords"),
            ({"keywords": "urgent"}, 400, 1014, "keywords"),
            ({"keywords": ["a\nb"]}, 400, 1014, "keywords"),
            ({"keywords": [5]}, 400, 1014, "keywords"),
            ({"keywords": ["w"] * 101}, 400, 1014, "keywords"),
            ({"keywords": ["w" * 101]}, 400, 1014, "keywords"),
            ({"pattern": "a"}, 400, 1014, "pattern"),
            ({"type": "regex"}, 400, 1014, "keywords"),
            ({"type": "regex", "keywords": []}, 400, 1014, "pattern"),
            ({"type": "regex", "keywords": [], "pattern": "("}, 400, 1014, "pattern"),
            ({"type": "regex", "keywords": [], "pattern": r"(a)\1"}, 400, 1014, "pattern"),
            ({"type": "regex", "keywords": [], "pattern": ".{999}.{999}"}, 400, 1014, "pattern"),
            ({"type": "regex", "keywords": [], "pattern": "a*"}, 400, 1014, "pattern"),
            ({"type": "regex", "keywords": [], "pattern": "a" * 501}, 400, 1014, "pattern"),
            ({"type": "regex", "keywords": [], "pattern": 5}, 400, 1014, "pattern"),
            ({"type": "length", "keywords": []}, 400, 1014, "min_chars"),
            ({"type": "length", "keywords": [], "min_chars": -1}, 400, 1014, "min_chars"),
            ({"type": "length", "keywords": [], "max_chars": 1.5}, 400, 1014, "max_chars"),
            (
                {"type": "length", "keywords": [], "min_chars": 2, "max_chars": 1},
                400,
                1014,
                "max_chars",
            ),
            ({"type": "metadata", "keywords": []}, 400, 1014, "metadata_key"),
            ({"type": "metadata", "keywords": [], "metadata_key": {}}, 400, 1014, "metadata_key"),
            ({"keyword": ["urgent"]}, 400, 1014, "keyword"),
        ],
    )
    def test_bad_ones_are_refused(
        self, operator: Api, change: dict[str, Any], status: int, code: int, field: str
    ) -> None:
        operator.post(RULES, URGENT | {"name": "taken"})
        other = operator.post(RULES, URGENT | {"name": "other"}).data["id"]

        operator.post(RULES, URGENT | change).refused(status, code, field)
        operator.patch(f"{RULES}/{other}", URGENT | change).refused(status, code, field)

        assert PriorityRule.objects.count() == 2
        assert operator.get(f"{RULES}/{other}").data["name"] == "other"

    @pytest.mark.parametrize("missing", ["name", "type", "priority"])
    def test_incomplete_ones_are_refused(self, operator: Api, missing: str) -> None:
        body = {name: value for name, value in URGENT.items() if name != missing}

        operator.post(RULES, body).refused(400, 1014, missing)

    def test_are_bounded_in_number(self, operator: Api) -> None:
        PriorityRule.objects.bulk_create(
            PriorityRule(name=f"r{n}", kind="length", min_chars=1, level=1)
            for n in range(MOST_RULES)
        )

        operator.post(RULES, URGENT).refused(400, 1014, "name")

    @pytest.mark.parametrize("identifier", ["0", "999", "9" * 30, "x", "-1"])
    def test_unknown_ones_are_not_found(self, operator: Api, identifier: str) -> None:
        for method in ("GET", "PATCH", "DELETE"):
            operator.call(method, f"{RULES}/{identifier}", {}).refused(404, 1016)


class TestUsersPriorities:
    def test_are_set_and_cleared(self, operator: Api, tenant: Tenant) -> None:
        answer = operator.post(USERS, {"user_id": "ada", "priority": "high"})

        assert answer.data == {"user_id": "ada", "tenant_id": str(tenant.pk), "priority": "high"}
        assert operator.send(user_id="ada")["priority_reason"] == "user default"
        assert operator.post(USERS, {"user_id": "ada", "priority": None}).data["priority"] is None
        assert operator.send(user_id="ada")["priority_reason"] == "tenant default"
        assert User.objects.filter(external_id="ada").count() == 1

    def test_count_at_once_for_a_key_that_is_known(self, operator: Api, tenant: Tenant) -> None:
        user = User.objects.create(tenant=tenant, external_id="ada")
        bound = api_of(tenant, user=user)
        assert bound.send(user_id="ada")["priority"] == "normal"

        operator.post(USERS, {"user_id": "ada", "priority": "low"})

        assert bound.send(user_id="ada")["priority"] == "low"

    def test_are_those_of_the_tenant_named(self, operator: Api, stranger: Api) -> None:
        other = Tenant.objects.get(name="other")

        operator.post(USERS, {"user_id": "u1", "priority": "low", "tenant_id": str(other.pk)})

        assert stranger.send()["priority"] == "low"
        assert operator.send()["priority"] == "normal"

    @pytest.mark.parametrize(
        ("body", "code", "field"),
        [
            ({"priority": "low"}, 1006, "user_id"),
            ({"user_id": "", "priority": "low"}, 1006, "user_id"),
            ({"user_id": 5, "priority": "low"}, 1006, "user_id"),
            ({"user_id": "a"}, 1003, "priority"),
            ({"user_id": "a", "priority": "urgent"}, 1003, "priority"),
            ({"user_id": "a", "priority": "low", "tenant_id": "x"}, 1014, "tenant_id"),
            ({"user_id": "a", "priority": "low", "tenant_id": str(uuid4())}, 1014, "tenant_id"),
        ],
    )
    def test_bad_input_is_refused(
        self, operator: Api, body: dict[str, Any], code: int, field: str
    ) -> None:
        operator.post(USERS, body).refused(400, code, field)
        assert not User.objects.filter(external_id="a").exists()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", RULES),
        ("POST", RULES),
        ("GET", f"{RULES}/1"),
        ("PATCH", f"{RULES}/1"),
        ("DELETE", f"{RULES}/1"),
        ("POST", USERS),
    ],
)
def test_clients_may_not(api: Api, method: str, path: str) -> None:
    api.call(method, path, URGENT).refused(403, 1012)
    api.key = ""
    api.call(method, path, URGENT).refused(401, 1011)


class TestAdmin:
    @pytest.fixture
    def staff(self, db: None) -> Client:
        client = Client()
        client.force_login(
            Operator.objects.create(username="root", is_staff=True, is_superuser=True)
        )
        return client

    FORM: dict[str, Any] = {
        "name": "urgent words",
        "order": 1,
        "enabled": "on",
        "tenant": "",
        "kind": "keyword",
        "words": "urgent\nasap",
        "level": Priority.HIGH,
    }

    def test_a_rule_is_added_and_counts(self, staff: Client, api: Api) -> None:
        staff.post(reverse("admin:conversations_priorityrule_add"), self.FORM)

        assert api.send("reply asap")["priority_reason"] == "rule: urgent words"

    def test_a_bad_pattern_is_explained_beside_its_field(self, staff: Client) -> None:
        form = self.FORM | {"kind": "regex", "pattern": "(?=a)"}

        page: Any = staff.post(reverse("admin:conversations_priorityrule_add"), form)

        assert "RE2 does not take it" in page.content.decode()
        assert not PriorityRule.objects.exists()

    def test_rules_are_switched_off_and_on(self, staff: Client, operator: Api) -> None:
        identifier = operator.post(RULES, URGENT).data["id"]
        listing = reverse("admin:conversations_priorityrule_changelist")

        staff.post(listing, {"action": "disable", "_selected_action": [identifier]})
        assert operator.send("urgent")["priority"] == "normal"
        staff.post(listing, {"action": "enable", "_selected_action": [identifier]})
        assert operator.send("urgent")["priority"] == "high"

    def test_the_job_page_gives_the_reason(self, staff: Client, operator: Api) -> None:
        operator.post(RULES, URGENT)
        operator.send("urgent")

        address = reverse("admin:scheduling_job_change", args=[Job.objects.get().pk])

        assert "rule: urgent words" in staff.get(address).content.decode()

    def test_every_rule_is_shown(self, staff: Client, operator: Api) -> None:
        identifier = operator.post(RULES, URGENT).data["id"]
        for name, args in (("changelist", []), ("change", [identifier])):
            page: Any = staff.get(reverse(f"admin:conversations_priorityrule_{name}", args=args))

            assert page.status_code == 200
            assert "urgent words" in page.content.decode()
