"""Admin's own pages: costs, actions on an object, a new key, endpoints that others manage."""

from __future__ import annotations

import csv
import io
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from balancing import declared, services
from balancing.fitting.learned import KEY, Lesson
from balancing.models import Endpoint
from conversations.models import ApiKey, Operator, Tenant, User
from scheduling.models import Attempt, DailyUsage, Flow, Job, Priority, Status
from stores.control import client as valkey

pytestmark = [pytest.mark.integration, pytest.mark.django_db]


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(Operator.objects.create_superuser("ann", password="x"))
    return client


def limited(client: Client, *permissions: str) -> Client:
    """An operator with some permissions only."""
    person = Operator.objects.create_user("bob", password="x", is_staff=True)
    person.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client.force_login(person)
    return client


def page(client: Client, name: str, *arguments: Any, **query: str) -> str:
    response = client.get(reverse(f"admin:{name}", args=arguments), query)
    assert response.status_code == 200
    return response.content.decode()


def job(**fields: Any) -> Job:
    now = timezone.now()
    flow = Flow.objects.get_or_create(key="f", name="f")[0]
    values = {"level": Priority.NORMAL, "model": "m", "flow": flow}
    return Job.objects.create(**{**values, "created_at": now, "updated_at": now, **fields})


def spend(tenant: Tenant, micros: int, *, days_ago: int = 0, **fields: Any) -> None:
    values = {
        "day": datetime.now(UTC).date() - timedelta(days=days_ago),
        "tenant_id": tenant.pk,
        "model": "tiny",
        "endpoint": "gpu",
        "requests": 3,
        "estimated_requests": 1,
        "prompt_tokens": 1000,
        "completion_tokens": 200,
    }
    DailyUsage.objects.create(**{**values, "spent_micros": micros, **fields})


class TestCosts:
    def test_by_day_tenant_and_model(self, operator: Client) -> None:
        acme, other = (Tenant.objects.create(name=name) for name in ("acme", "other"))
        spend(acme, 12_340_000)
        spend(other, 5_000_000, days_ago=2, model="big")

        text = page(operator, "scheduling_dailyusage_changelist")

        assert "17.34 USD" in text
        for part in ("12.34", "5.00", "tiny", "big", ">acme</a>", ">other</a>"):
            assert part in text

    def test_of_one_tenant(self, operator: Client) -> None:
        acme, other = (Tenant.objects.create(name=name) for name in ("acme", "other"))
        user = User.objects.create(tenant=acme, external_id="zoe")
        spend(acme, 12_340_000, user_id=user.pk)
        spend(other, 5_000_000, model="big")

        text = page(operator, "scheduling_dailyusage_changelist", tenant=str(acme.pk))

        assert "Costs of acme" in text
        assert "zoe" in text
        assert "big" not in text

    def test_a_tenants_and_a_users_page_tell_the_last_days(self, operator: Client) -> None:
        acme = Tenant.objects.create(name="acme")
        user = User.objects.create(tenant=acme, external_id="zoe")
        spend(acme, 12_340_000, user_id=user.pk)
        spend(acme, 1_000_000, model="other")

        assert "13.34 USD for 6 requests" in page(operator, "conversations_tenant_change", acme.pk)
        assert "12.34 USD for 3 requests" in page(operator, "conversations_user_change", user.pk)

    def test_as_csv(self, operator: Client) -> None:
        acme = Tenant.objects.create(name="acme")
        rude = User.objects.create(tenant=acme, external_id="=HYPERLINK(1)")
        spend(acme, 12_345_678, user_id=rude.pk)
        url = reverse("admin:scheduling_dailyusage_changelist")

        response = operator.get(url, {"format": "csv", "days": "7"})

        (row,) = csv.DictReader(io.StringIO(response.content.decode()))
        assert (row["tenant"], row["model"], row["cost_usd"]) == ("acme", "tiny", "12.345678")
        assert row["user"] == "'=HYPERLINK(1)", "a spreadsheet must not run a client's text"
        assert "attachment" in response["Content-Disposition"]

    @pytest.mark.parametrize("query", ["days=x", "days=99999", "tenant=x", "tenant=%00"])
    def test_nonsense_is_ignored(self, operator: Client, query: str) -> None:
        url = reverse("admin:scheduling_dailyusage_changelist")

        assert operator.get(f"{url}?{query}").status_code == 200

    def test_not_without_permission(self, client: Client) -> None:
        url = reverse("admin:scheduling_dailyusage_changelist")

        assert limited(client, "view_job").get(url).status_code == 403


class TestObjectActions:
    def press(self, client: Client, name: str, pk: Any, action: str) -> Any:
        data = {"action": action, "_selected_action": str(pk), "_object": str(pk)}
        return client.post(reverse(f"admin:{name}_changelist"), data)

    def test_an_endpoint_is_drained_on_its_page(self, operator: Client) -> None:
        row = services.register(name="gpu", base_url="http://gpu/v1", model_names=["m"])
        text = page(operator, "balancing_endpoint_change", row.pk)

        response = self.press(operator, "balancing_endpoint", row.pk, "drain")

        assert 'value="drain"' in text
        assert response["Location"] == reverse("admin:balancing_endpoint_change", args=[row.pk])
        row.refresh_from_db()
        assert row.state == Endpoint.State.DRAINING

    def test_what_an_endpoint_refuses_is_shown_and_forgotten(self, operator: Client) -> None:
        row = services.register(name="gpu", base_url="http://gpu/v1", model_names=["m"])
        lesson = Lesson(row.pk, "m", "stream_options", time.time() - 3600, "<unknown>")
        valkey().hset(KEY, lesson.name, lesson.value)

        text = page(operator, "balancing_endpoint_change", row.pk)
        self.press(operator, "balancing_endpoint", row.pk, "forget_refused_fields")

        assert "<b>stream_options</b> for m, learned" in text
        assert "&lt;unknown&gt;" in text
        assert not valkey().hexists(KEY, lesson.name)

    def test_a_job_is_moved_and_cancelled_on_its_page(self, operator: Client) -> None:
        row = job()
        text = page(operator, "scheduling_job_change", row.pk)

        for action in ("to_high", "cancel"):
            assert f'value="{action}"' in text
            response = self.press(operator, "scheduling_job", row.pk, action)
            assert response["Location"].endswith(f"{row.pk}/change/")

        row.refresh_from_db()
        assert (row.level, row.status) == (Priority.HIGH, Status.CANCELLED)

    def test_who_may_only_look_sees_no_buttons_and_cannot_press(self, client: Client) -> None:
        row = job()
        viewer = limited(client, "view_job")

        assert 'value="cancel"' not in page(viewer, "scheduling_job_change", row.pk)
        self.press(viewer, "scheduling_job", row.pk, "cancel")

        row.refresh_from_db()
        assert row.status == Status.QUEUED

    def test_a_get_changes_nothing(self, operator: Client) -> None:
        row = job()

        operator.get(reverse("admin:scheduling_job_changelist"), {"action": "cancel"})

        row.refresh_from_db()
        assert row.status == Status.QUEUED


def test_a_new_key_is_shown_once_and_travels_in_no_cookie(operator: Client) -> None:
    tenant = Tenant.objects.create(name="acme")
    url = reverse("admin:conversations_apikey_add")

    response = operator.post(url, {"name": "k", "tenant": str(tenant.pk), "scope": "client"})

    key = ApiKey.objects.get()
    text = response.content.decode()
    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]
    start = text.index(f"{key.prefix}.")
    assert key.is_valid(text[start:].partition("<")[0])
    cookies = "".join(morsel.OutputString() for morsel in response.cookies.values())
    assert key.prefix not in cookies
    assert f"{key.prefix}." not in page(operator, "conversations_apikey_change", key.pk)


def test_a_managed_endpoint_warns_whoever_edits_it(operator: Client) -> None:
    declared.apply([{"name": "gpu", "base_url": "http://gpu/v1", "models": ["m"]}])
    mine = services.register(name="mine", base_url="http://mine/v1", model_names=["m"])
    managed = Endpoint.objects.get(name="gpu")

    assert "configuration file" in page(operator, "balancing_endpoint_change", managed.pk)
    text = page(operator, "balancing_endpoint_change", mine.pk)
    assert "healthy" in text
    assert "&#x27;healthy&#x27;" not in text, "a word, and not Python's pair of words"
    assert "change it there" not in text


def test_an_attempt_keeps_the_name_of_an_endpoint_that_is_gone(operator: Client) -> None:
    row = services.register(name="old-gpu", base_url="http://gpu/v1", model_names=["m"])
    ended = job(status=Status.COMPLETED)
    Attempt.objects.create(
        job=ended,
        number=1,
        outcome="ok",
        endpoint=row,
        endpoint_name=row.name,
        ended_at=timezone.now(),
        spent_micros=1_500,
    )
    services.delete(endpoint_id=row.pk)

    text = page(operator, "scheduling_job_change", ended.pk)

    assert "old-gpu" in text
    assert "0.001500 USD" in text
    assert "old-gpu" in page(operator, "scheduling_attempt_changelist")
