"""Which flow is a request counted in: its tenant's, or its user's own (setting `flow_by`)?

Every door asks here. The lean application stores the row by a connection of its own
(`scheduling.submit.intake`); synchronous code stores it by Django's (`stored`, `ids_of`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from conversations.access.keys import Caller
from conversations.models import User
from llmqueue_project.config import configuration
from scheduling import services as scheduling

LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class FlowRow:
    """What a flow's row says.

    Attributes:
        key: identifies the row; it is made of ids, which never change.
        name: for people; it follows the names of the tenant and the user.
        weight: the tenant's.
    """

    key: str
    name: str
    weight: float


def of_caller(caller: Caller) -> FlowRow:
    """The flow of requests that name no user: the key's own user counts, where it has one."""
    return of_user(caller, caller.user_id, caller.user_name)


def of_user(caller: Caller, user_id: UUID | None, user_name: str) -> FlowRow:
    """The flow of a caller's requests for one user; with None, of requests for no user."""
    key, name = f"tenant:{caller.tenant_id}", caller.tenant_name
    if user_id is not None and configuration().scheduling.flow_by == "user":
        key, name = f"{key}:user:{user_id}", f"{name} / {user_name}"[:LONGEST_NAME]
    return FlowRow(key, name, caller.tenant_weight)


def stored(flow: FlowRow) -> int:
    """The id of a flow, stored by Django's connection; remembered if no transaction is open."""
    return scheduling.flow_for(key=flow.key, name=flow.name, weight=flow.weight)


def ids_of(
    *, caller: Caller, users: Iterable[User], known: Mapping[FlowRow, int]
) -> dict[UUID, int]:
    """The id of the flow of each user's requests, by user id.

    Rows are stored in the order of the users' ids, so that two batches cannot deadlock.

    Args:
        known: flows that are stored already, with their ids.
    """
    ids = dict(known)
    found: dict[UUID, int] = {}
    for user in sorted(set(users), key=lambda user: user.pk):
        row = of_user(caller, user.pk, user.external_id)
        if row not in ids:
            ids[row] = stored(row)
        found[user.pk] = ids[row]
    return found
