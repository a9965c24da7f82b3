"""What a key may see of what was used and spent."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.test import Client

from conversations.models import Tenant, User
from llmqueue_project import metrics
from llmqueue_project.config import configuration
from scheduling.models import DailyUsage, Job, UsageEntry
from tests.integration.rest.conftest import Api, api_of, finish

pytestmark = pytest.mark.integration


def today() -> date:
    return datetime.now(UTC).date()


def spend(
    tenant_id: UUID, micros: int, *, days_ago: int = 0, folded: bool = True, **fields: Any
) -> None:
    values = {
        "day": today() - timedelta(days=days_ago),
        "tenant_id": tenant_id,
        "model": "tiny",
        "endpoint": "one",
        "requests": 1,
        "estimated_requests": 0,
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "spent_micros": micros,
    }
    table = DailyUsage if folded else UsageEntry
    table.objects.create(**{**values, **fields})


def test_days_hold_what_is_folded_and_what_is_not_yet(api: Api, tenant: Tenant) -> None:
    spend(tenant.pk, 1_500_000, days_ago=1)
    spend(tenant.pk, 250_000)
    spend(tenant.pk, 250_000, folded=False, estimated_requests=1)

    data = api.get("/usage").data

    yesterday, now = data["items"]
    assert (yesterday["cost"], now["cost"], now["requests"]) == (1.5, 0.5, 2)
    assert (now["total_tokens"], now["estimated_requests"]) == (30, 1)
    assert (data["total"]["cost"], data["currency"]) == (2.0, "USD")
    assert (yesterday["day"], now["day"]) == (str(today() - timedelta(days=1)), str(today()))


def test_a_client_sees_its_tenant_and_an_operator_all(
    api: Api, operator: Api, stranger: Api, tenant: Tenant
) -> None:
    other = Tenant.objects.get(name="other")
    spend(tenant.pk, 1_000_000)
    spend(other.pk, 3_000_000, model="big")

    mine = api.get("/usage?group_by=tenant").data["items"]
    everybodys = operator.get("/usage?group_by=tenant,model").data["items"]

    assert [(row["tenant"], row["cost"]) for row in mine] == [("acme", 1.0)]
    assert [(row["tenant"], row["model"], row["cost"]) for row in everybodys] == [
        ("other", "big", 3.0),
        ("acme", "tiny", 1.0),
    ]
    assert operator.get(f"/usage?tenant_id={other.pk}").data["total"]["cost"] == 3.0
    api.get(f"/usage?tenant_id={other.pk}").refused(403, 1012, "tenant_id")


def test_a_key_of_one_user_sees_that_user(api: Api, tenant: Tenant) -> None:
    ann, bob = (User.objects.create(tenant=tenant, external_id=name) for name in ("ann", "bob"))
    spend(tenant.pk, 1_000_000, user_id=ann.pk)
    spend(tenant.pk, 2_000_000, user_id=bob.pk)
    bound = api_of(tenant, user=ann)

    assert bound.get("/usage").data["total"]["cost"] == 1.0
    assert api.get("/usage?user_id=bob").data["total"]["cost"] == 2.0
    bound.get("/usage?user_id=bob").refused(404, 1016, "user_id")
    users = api.get("/usage?group_by=user").data["items"]
    assert [(row["user_id"], row["cost"]) for row in users] == [("bob", 2.0), ("ann", 1.0)]


def test_days_are_chosen(api: Api, tenant: Tenant) -> None:
    for days_ago in (0, 5, 40):
        spend(tenant.pk, 1_000_000, days_ago=days_ago)
    first = today() - timedelta(days=45)

    assert api.get("/usage").data["total"]["requests"] == 2
    assert api.get(f"/usage?from={first}").data["total"]["requests"] == 3
    assert api.get(f"/usage?from={first}&to={first}").data["total"]["requests"] == 0
    assert api.get(f"/usage?from={first}&to={first}").data["items"] == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("group_by=colour", "group_by"),
        ("group_by=", "group_by"),
        ("from=yesterday", "from"),
        ("to=2027-13-01", "to"),
        ("from=2027-02-01&to=2027-01-01", "from"),
        ("from=2020-01-01&to=2027-01-01", "from"),
        ("tenant_id=x", "tenant_id"),
        ("user_id=a%00", "user_id"),
    ],
)
def test_bad_questions(api: Api, query: str, field: str) -> None:
    api.get(f"/usage?{query}").refused(400, 1014, field)


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
def test_the_ends_of_time(api: Api, day: str) -> None:
    assert api.get(f"/usage?to={day}").data["total"]["requests"] == 0


def test_metrics_name_tenants_on_request(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    spend(tenant.pk, 1_500_000)
    series = 'llmqueue_tenant_cost_today{tenant="acme"} 1.5'
    config = configuration().model_copy(update={"metrics_public": True})
    monkeypatch.setattr(metrics, "configuration", lambda: config)
    assert series not in Client().get("/metrics").content.decode()

    config = config.model_copy(update={"metrics_tenants": True})

    assert series in Client().get("/metrics").content.decode()


def test_a_message_tells_its_cost(api: Api) -> None:
    identifier = api.send()["id"]
    assert api.get(f"/messages/{identifier}").data["cost"] is None

    job = finish(identifier)
    Job.objects.filter(pk=job.pk).update(spent_micros=1234, spent_estimated=True)

    assert api.get(f"/messages/{identifier}").data["cost"] == {
        "amount": 0.001234,
        "currency": "USD",
        "estimated": True,
    }
