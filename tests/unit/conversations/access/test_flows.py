"""Key, name and weight of the flow that a request is counted in."""

from __future__ import annotations

from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from conversations.access import flows
from conversations.access.flows import FlowRow
from conversations.access.keys import Caller
from conversations.models import Tenant, User
from llmqueue_project.config import configuration
from scheduling.models import Flow, Priority

TENANT, USER = UUID(int=1), UUID(int=2)
BY_TENANT = FlowRow(f"tenant:{TENANT}", "acme", 2.5)


def caller(user_id: UUID | None = None, user_name: str = "", tenant_id: UUID = TENANT) -> Caller:
    return Caller(
        key_id=UUID(int=0),
        tenant_id=tenant_id,
        tenant_name="acme",
        tenant_weight=2.5,
        user_level=None,
        default_level=Priority.NORMAL,
        highest_level=Priority.REALTIME,
        user_id=user_id,
        operator=False,
        user_name=user_name,
    )


@pytest.fixture
def by_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configuration().scheduling, "flow_by", "user")


def test_by_tenant_every_user_is_the_tenants() -> None:
    assert flows.of_caller(caller()) == BY_TENANT
    assert flows.of_caller(caller(USER, "u")) == BY_TENANT
    assert flows.of_user(caller(), USER, "u") == BY_TENANT


@pytest.mark.usefixtures("by_user")
def test_by_user_a_user_has_a_flow_of_its_own() -> None:
    own = FlowRow(f"tenant:{TENANT}:user:{USER}", "acme / u", 2.5)

    assert flows.of_caller(caller(USER, "u")) == own
    assert flows.of_user(caller(), USER, "u") == own


@pytest.mark.usefixtures("by_user")
def test_by_user_what_is_nobodys_is_the_tenants() -> None:
    assert flows.of_caller(caller()) == BY_TENANT


@pytest.mark.usefixtures("by_user")
def test_a_long_name_is_cut_to_the_columns_length() -> None:
    row = flows.of_user(caller(), USER, "u" * 200)

    assert row.name == f"acme / {'u' * 193}"
    assert len(row.name) == Flow._meta.get_field("name").max_length


class TestIds:
    @pytest.fixture
    def users(self, db: None) -> list[User]:
        tenant = Tenant.objects.create(id=TENANT, name="acme")
        return [User.objects.create(tenant=tenant, external_id=name) for name in "abc"]

    def test_by_tenant_one_row_is_stored_for_all(self, users: list[User]) -> None:
        ids = flows.ids_of(caller=caller(), users=[*users, *users], known={})

        [row] = Flow.objects.all()
        assert ids == {user.pk: row.pk for user in users}
        assert (row.key, row.name, row.weight) == (BY_TENANT.key, BY_TENANT.name, BY_TENANT.weight)

    def test_by_user_there_is_a_row_for_each(self, users: list[User], by_user: None) -> None:
        ids = flows.ids_of(caller=caller(), users=users, known={})

        keys = dict(Flow.objects.values_list("pk", "key"))
        expected = {user.pk: f"tenant:{TENANT}:user:{user.pk}" for user in users}
        assert {user_id: keys[flow_id] for user_id, flow_id in ids.items()} == expected

    def test_rows_are_locked_in_one_order(self, users: list[User], by_user: None) -> None:
        with CaptureQueriesContext(connection) as queries:
            flows.ids_of(caller=caller(), users=reversed(users), known={})

        locking = [q["sql"] for q in queries if q["sql"].endswith("FOR UPDATE")]
        places = [next(n for n, user in enumerate(users) if str(user.pk) in sql) for sql in locking]
        assert sorted(users, key=lambda user: user.pk) == [users[place] for place in places]

    def test_what_is_stored_already_is_not_stored_again(self, users: list[User]) -> None:
        known = {BY_TENANT: 17}

        assert flows.ids_of(caller=caller(), users=users, known=known) == {
            user.pk: 17 for user in users
        }
        assert not Flow.objects.exists()

    def test_nobody_needs_no_row(self, users: list[User]) -> None:
        assert flows.ids_of(caller=caller(), users=[], known={}) == {}
        assert not Flow.objects.exists()
