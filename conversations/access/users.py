"""Which users does a tenant speak for?"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from conversations.access.keys import Caller
from conversations.errors import UserForbidden, UserMismatch
from conversations.models import User
from scheduling.models import Priority


def users_named(*, caller: Caller, names: Iterable[str | None]) -> dict[str | None, User]:
    """The users with these external ids; new ones are created. None is the key's own user.

    Raises:
        UserMismatch: None is wanted, and the key is not bound to a user.
        UserForbidden: the key is bound to another user, and is not an operator's.
    """
    wanted = set(names)
    own = User.objects.get(pk=caller.user_id) if caller.user_id else None
    if own is None and None in wanted:
        raise UserMismatch("user_id is required: this key is not bound to a user")
    if own is not None and bound_to(caller) and wanted - {None, own.external_id}:
        raise UserForbidden("this key speaks for one user only")
    found: dict[str | None, User] = {None: own, own.external_id: own} if own else {}
    return found | _created(caller, sorted(wanted - found.keys() - {None}, key=str))


def bound_to(caller: Caller) -> UUID | None:
    """The one user a key may speak for; an operator's key may speak for any."""
    return None if caller.operator else caller.user_id


def set_default_priority(*, tenant_id: UUID, external_id: str, level: Priority | None) -> None:
    """Set the level of a user's requests that name none and match no rule; None: the tenant's."""
    User.objects.update_or_create(
        tenant_id=tenant_id, external_id=external_id, defaults={"default_priority": level}
    )


def _created(caller: Caller, wanted: list[str | None]) -> dict[str | None, User]:
    known = _existing(caller, wanted) if wanted else {}
    new = [name for name in wanted if name not in known]
    if new:
        # Two requests may bring the same new user: the second one finds the first one's row.
        User.objects.bulk_create(
            [User(tenant_id=caller.tenant_id, external_id=str(name)) for name in new],
            ignore_conflicts=True,
            batch_size=1000,
        )
        known |= _existing(caller, new)
    return known


def _existing(caller: Caller, wanted: list[str | None]) -> dict[str | None, User]:
    rows = User.objects.filter(tenant_id=caller.tenant_id, external_id__in=map(str, wanted))
    return {row.external_id: row for row in rows}
