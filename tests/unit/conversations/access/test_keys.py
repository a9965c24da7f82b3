"""API keys: verified against their hash, remembered for seconds, forgotten on demand."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from conversations.access import keys
from conversations.access.keys import VerifiedKeys
from conversations.models import ApiKey, Tenant, User
from llmqueue_project.config import configuration
from scheduling.models import Priority
from stores.memory import Memory, kept


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def tenant(db: None) -> Tenant:
    return Tenant.objects.create(name="acme", weight=2.5, default_priority=Priority.LOW)


def make(tenant: Tenant, **fields: Any) -> str:
    _, key = ApiKey.objects.create_key(name="k", tenant=tenant, **fields)
    return str(key)


def test_a_key_speaks_for_its_tenant(tenant: Tenant) -> None:
    caller = keys.authenticate(make(tenant))

    assert caller is not None
    assert (caller.tenant_id, caller.tenant_name, caller.tenant_weight) == (tenant.id, "acme", 2.5)
    assert (caller.default_level, caller.highest_level) == (Priority.LOW, Priority.REALTIME)
    assert (caller.user_id, caller.operator) == (None, False)


@pytest.mark.parametrize("own", [Priority.HIGH, None, Priority.REALTIME])
def test_a_users_default_stands_beside_the_tenants(tenant: Tenant, own: Priority | None) -> None:
    user = User.objects.create(tenant=tenant, external_id="u", default_priority=own)

    caller = keys.authenticate(make(tenant, user=user))

    assert caller is not None
    assert (caller.user_id, caller.user_level) == (user.id, own)
    assert caller.default_level == Priority.LOW


def test_the_operator_scope(tenant: Tenant) -> None:
    caller = keys.authenticate(make(tenant, scope=ApiKey.Scope.OPERATOR))

    assert caller is not None
    assert caller.operator


@pytest.mark.parametrize(
    "spoil",
    [
        lambda key: key[:-1] + ("a" if key[-1] != "a" else "b"),
        lambda key: ("x" if key[0] != "x" else "y") + key[1:],
        lambda key: key.partition(".")[0],
        lambda key: key + " ",
        lambda key: key + "\0",
        lambda key: key + "é",
        lambda key: "",
        lambda key: "x" * 201,
        lambda key: "' or 1=1 --",
    ],
)
def test_an_unknown_key_is_nobodys(tenant: Tenant, spoil: Any) -> None:
    assert keys.authenticate(spoil(make(tenant))) is None


def test_a_revoked_key_is_nobodys(tenant: Tenant) -> None:
    key = make(tenant)
    ApiKey.objects.update(revoked=True)

    assert keys.authenticate(key) is None


@pytest.mark.parametrize(("seconds", "works"), [(-1, False), (3600, True)])
def test_an_expired_key_is_nobodys(tenant: Tenant, seconds: int, works: bool) -> None:
    key = make(tenant, expiry_date=timezone.now() + timedelta(seconds=seconds))

    assert (keys.authenticate(key) is not None) is works


def test_the_key_of_an_inactive_tenant_is_nobodys(tenant: Tenant) -> None:
    key = make(tenant)
    Tenant.objects.update(is_active=False)

    assert keys.authenticate(key) is None


class TestMemory:
    def test_a_verified_key_is_not_looked_up_again(self, tenant: Tenant) -> None:
        key, verified = make(tenant), VerifiedKeys()
        first = verified.authenticate(key)

        with CaptureQueriesContext(connection) as queries:
            assert verified.authenticate(key) is first

        assert len(queries) == 0
        assert verified.recall(key) is first

    def test_a_process_that_keeps_a_memory_has_one(self, tenant: Tenant) -> None:
        key = make(tenant)

        with kept(Memory()):
            first = keys.authenticate(key)
            assert keys.authenticate(key) is first
            keys.forget()
            assert keys.authenticate(key) is not first

    def test_a_revoked_key_works_no_longer_than_the_setting(self, tenant: Tenant) -> None:
        clock = Clock()
        key, verified = make(tenant), VerifiedKeys(clock)
        verified.authenticate(key)
        ApiKey.objects.update(revoked=True)

        clock.now += configuration().web.key_cache_seconds - 0.01
        assert verified.authenticate(key) is not None
        clock.now += 0.02
        assert verified.authenticate(key) is None

    def test_forget_asks_the_database_at_once(self, tenant: Tenant) -> None:
        key, verified = make(tenant), VerifiedKeys()
        verified.authenticate(key)
        ApiKey.objects.update(revoked=True)

        verified.forget()

        assert verified.recall(key) is None
        assert verified.authenticate(key) is None

    def test_a_refused_key_is_not_remembered(self, tenant: Tenant) -> None:
        verified = VerifiedKeys()

        verified.authenticate("unknown.key")

        assert verified.recall("unknown.key") is None

    def test_the_memory_is_bounded_and_holds_no_key(
        self, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(keys, "MOST_REMEMBERED", 2)
        made, verified = [make(tenant) for _ in range(3)], VerifiedKeys()

        for key in made:
            verified.authenticate(key)

        assert len(verified._remembered) <= 2
        assert verified.recall(made[-1]) is not None
        assert not any(key.encode() in verified._remembered for key in made)


@pytest.mark.parametrize(
    ("authorization", "x_api_key", "key"),
    [
        ("Bearer abc.def", "", "abc.def"),
        ("bearer  abc ", "", "abc"),
        ("", " abc ", "abc"),
        ("Bearer a", "b", "a"),
        ("Basic xyz", "b", "b"),
        ("Bearer", "b", ""),
        ("abc", "", ""),
        ("", "", ""),
    ],
)
def test_where_a_key_is_presented(authorization: str, x_api_key: str, key: str) -> None:
    assert keys.presented_key(authorization, x_api_key) == key


@pytest.mark.parametrize("weight", [float("nan"), float("inf"), 0.0, -1.0])
def test_a_weight_that_is_none_counts_as_one(tenant: Tenant, weight: float) -> None:
    """A NaN made the virtual clock of its level NaN, and with it the order of all tenants."""
    key = make(tenant)
    Tenant.objects.filter(pk=tenant.pk).update(weight=weight)

    caller = keys.authenticate(key)

    assert caller is not None
    assert caller.tenant_weight == 1.0


@pytest.mark.parametrize("level", [-1, 4, 99])
def test_a_level_that_is_none_counts_as_normal(tenant: Tenant, level: int) -> None:
    user = User.objects.create(tenant=tenant, external_id="u")
    key = make(tenant, user=user)
    Tenant.objects.filter(pk=tenant.pk).update(default_priority=level, highest_priority=level)
    User.objects.filter(pk=user.pk).update(default_priority=level)

    caller = keys.authenticate(key)

    assert caller is not None
    assert caller.user_level is None
    assert caller.default_level == caller.highest_level == Priority.NORMAL
