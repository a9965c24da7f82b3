"""Rows that were not stored through this project: a stack, its pages and discovery beside them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from balancing.discovery import rounds
from balancing.discovery.resolver import Address
from balancing.endpoints import registry
from balancing.endpoints.registry import Target
from balancing.models import Endpoint
from conversations.models import Operator
from llmqueue_project.embedded.services import Services
from tests.eventually import eventually
from tests.fake_llm import running_fake_llm
from tests.processes import kill
from tests.stack import Stack, running_stack
from tests.unreadable_rows import WRONG, bad_row

pytestmark = pytest.mark.integration

POOL = """
insert into balancing_modelpool (pattern, profile, fallback_models, hedging, created_at, updated_at)
values ('fake-*', 'no_such', '5', true, now(), now())
"""
RULE = """
insert into conversations_priorityrule (name, "order", enabled, kind, words, pattern, metadata_key,
    metadata_value, level, created_at, updated_at)
values ('odd', 1, true, 'keyword', 'hello', '', '', '', 99, now(), now())
"""


@pytest.fixture
def stack(services: Services) -> Iterator[Stack]:
    with running_stack(services, gear="direct") as running:
        yield running


def spoil(stack: Stack, name: str, column: str, value: Any) -> None:
    stack.register(name, "http://127.0.0.1:9/v1", models=["fake-model", "lost"])
    stored = json.dumps(value) if column in registry.JSON else value
    stack.execute(f"update balancing_endpoint set {column} = %s where name = %s", stored, name)


def test_a_stack_serves_beside_them_and_a_fresh_worker_starts(stack: Stack) -> None:
    with running_fake_llm(tokens=2) as fake:
        stack.register("good", fake.base_url)
        for number, (column, value) in enumerate(WRONG):
            spoil(stack, f"bad-{number}", column, value)
        stack.execute(POOL)
        stack.execute(RULE)
        eventually(lambda: "pool.fallbacks_set_aside" in stack.log("worker0"), what="a look")

        for _ in range(8):
            assert stack.chat("hello").status == 200
        stack.add_worker()
        eventually(lambda: " ready." in stack.log("worker1"), what="a fresh worker")
        kill(stack.worker_processes[0])
        stack.restart_web()
        for _ in range(8):
            assert stack.chat("hello").status == 200

    ready = stack.call("GET", "/health/ready", key=None).body
    assert ready["set_aside"] == {"endpoints": len(WRONG), "model_pools": 1, "priority_rules": 1}
    rest = stack.call("POST", "/api/v1/messages", {"user_id": "u", "content": "hello"})
    assert (rest.status, rest.body["data"]["priority"]) == (201, "normal")
    models = [model["id"] for model in stack.call("GET", "/v1/models").body["data"]]
    assert models == ["fake-model"]
    assert stack.chat("hello", model="lost").status == 404
    assert stack.rows("select distinct endpoint_name from scheduling_attempt") == [("good",)]
    for number in range(len(WRONG)):
        assert _told(stack, "worker1", f"bad-{number}") == 1
    assert stack.worker_processes[1].poll() is None


def _told(stack: Stack, process: str, name: str) -> int:
    lines = stack.log(process).splitlines()
    return sum("endpoint.set_aside" in line and f'"{name}"' in line for line in lines)


@pytest.fixture
def staff(db: None) -> Client:
    client = Client()
    client.force_login(Operator.objects.create_superuser("ann", password="x"))
    return client


@pytest.mark.parametrize(("column", "value"), WRONG)
class TestOperators:
    def test_see_it_in_admin_and_mend_it_there(
        self, staff: Client, column: str, value: Any
    ) -> None:
        row = bad_row(column, value)
        change = reverse("admin:balancing_endpoint_change", args=[row.pk])

        listed = staff.get(reverse("admin:balancing_endpoint_changelist")).content.decode()
        first = staff.get(reverse("admin:index")).content.decode()
        shown = staff.get(change)

        assert f"unreadable: {column}: " in listed
        assert f"unreadable: {column}: " in first
        assert shown.status_code == 200
        mended = staff.post(change, _form())
        assert mended.status_code == 302, mended.content.decode()
        assert registry.unreadable(Endpoint.objects.get()) == ""

    def test_see_it_by_command(self, db: None, column: str, value: Any) -> None:
        bad_row(column, value)
        out = StringIO()

        call_command("endpoints", "list", "--json", stdout=out)
        call_command("capacity", stdout=StringIO())

        (shown,) = json.loads(out.getvalue())
        assert shown["state"] == "enabled, unreadable"
        assert shown["note"].startswith(f"{column}: ")


def _form() -> dict[str, str]:
    return {
        "name": "bad",
        "kind": "openai",
        "base_url": "http://bad/v1",
        "model_names": "lost",
        "weight": "1",
        "max_concurrent": "8",
        "extra_headers": "{}",
        "model_aliases": "{}",
        "prices": "{}",
        "proxy_url": "",
        "verify_tls": "on",
    }


@pytest.mark.django_db
def test_a_base_url_that_is_none_can_be_mended_in_admin(staff: Client) -> None:
    row = bad_row("base_url", "http://[bad")
    change = reverse("admin:balancing_endpoint_change", args=[row.pk])

    assert staff.post(change, _form()).status_code == 302

    assert Endpoint.objects.get().base_url == "http://bad/v1"


class Network:
    """Resolver and lister: every name has one address, every server one model."""

    async def resolve(self, host: str, port: int) -> list[Address]:
        return [Address("10.0.0.1", port)]

    async def names(self, target: Target) -> list[str]:
        return ["found"]


@pytest.mark.django_db
@pytest.mark.parametrize("url", ["", "nonsense", "ftp://x", "http://[", "http://x:99999"])
def test_discovery_goes_on_beside_them(url: str) -> None:
    good = {"model_names": [], "discover_models": True}
    Endpoint.objects.create(name="bad-group", base_url=url, discover="dns")
    for number, (column, value) in enumerate(WRONG):
        bad_row(column, value, name=f"bad-{number}", discover_models=True)
    Endpoint.objects.create(name="good", base_url="http://good/v1", **good)
    Endpoint.objects.create(name="group", base_url="http://group/v1", discover="dns", **good)

    rounds.run_due(Network(), Network())

    assert Endpoint.objects.get(name="good").model_names == ["found"]
    assert Endpoint.objects.get(name="group-10-0-0-1-80").model_names == ["found"]
    errors = dict(Endpoint.objects.values_list("name", "refresh_error"))
    assert errors.pop("bad-group") == "the base URL is not one of http or https"
    assert errors.pop("good") == errors.pop("group") == errors.pop("group-10-0-0-1-80") == ""
    assert all(error.startswith("its row cannot be read: ") for error in errors.values())
