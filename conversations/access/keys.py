"""Who is calling? An API key, verified against its stored hash and remembered for seconds.

A revoked key stops working at once where the control channel is up (`forget`), and after
`web.key_cache_seconds` in any case.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from conversations.models import ApiKey
from llmqueue_project.config import configuration
from scheduling.models import Priority

LOOKUP = """
select k.id, k.hashed_key, k.expiry_date, k.scope, k.user_id, t.id, t.name, t.weight,
       u.default_priority, t.default_priority, t.highest_priority, t.allow_fallback_models,
       coalesce(u.external_id, '')
  from conversations_apikey k
  join conversations_tenant t on t.id = k.tenant_id
  left join conversations_user u on u.id = k.user_id
 where k.prefix = %(prefix)s and not k.revoked and t.is_active
"""


@dataclass(frozen=True, slots=True)
class Caller:
    """Whom a verified key speaks for.

    Attributes:
        user_id, user_name: the key's own user, None and empty where it has none; the name is the
            tenant's own for the user.
        user_level: the default of the key's own user, if the key and the user have one.
        default_level: the tenant's default.
    """

    key_id: UUID
    tenant_id: UUID
    tenant_name: str
    tenant_weight: float
    user_level: Priority | None
    default_level: Priority
    highest_level: Priority
    user_id: UUID | None
    operator: bool
    allow_fallback: bool = False
    user_name: str = ""


@dataclass(frozen=True, slots=True)
class _Remembered:
    caller: Caller
    until: float


_remembered: dict[bytes, _Remembered] = {}
_LIMIT = 10_000


def presented_key(authorization: str, x_api_key: str = "") -> str:
    """The key in `Authorization: Bearer <key>` or `X-API-Key`; empty when there is none."""
    scheme, _, value = authorization.partition(" ")
    return value.strip() if scheme.lower() == "bearer" else x_api_key.strip()


def recall(presented: str) -> Caller | None:
    """The caller of a key verified in the last seconds; never touches the database."""
    found = _remembered.get(_fingerprint(presented))
    return found.caller if found and found.until > time.monotonic() else None


def verify(presented: str, row: tuple[Any, ...] | None) -> Caller | None:
    """The caller, when `row` (of `LOOKUP`) is the presented key's and has not expired."""
    if row is None or not ApiKey.objects.key_generator.verify(presented, row[1]):
        return None
    expiry: datetime | None = row[2]
    if expiry is not None and expiry.timestamp() < time.time():
        return None
    caller = Caller(
        key_id=row[0],
        operator=row[3] == ApiKey.Scope.OPERATOR,
        user_id=row[4],
        tenant_id=row[5],
        tenant_name=row[6],
        tenant_weight=row[7],
        user_level=None if row[8] is None else Priority(row[8]),
        default_level=Priority(row[9]),
        highest_level=Priority(row[10]),
        allow_fallback=row[11],
        user_name=row[12],
    )
    _remember(presented, caller)
    return caller


def authenticate(presented: str) -> Caller | None:
    """The caller of a key, by Django's connection; None when it is unknown or revoked."""
    from django.db import connection

    if not plausible(presented):
        return None
    if known := recall(presented):
        return known
    with connection.cursor() as cursor:
        cursor.execute(LOOKUP, {"prefix": prefix(presented)})
        return verify(presented, cursor.fetchone())


def plausible(presented: str) -> bool:
    """Whether a string can be a key at all: it may not reach SQL or a hash otherwise."""
    return 0 < len(presented) <= 200 and presented.isascii() and presented.isprintable()


def prefix(presented: str) -> str:
    return presented.partition(".")[0][:8]


def forget() -> None:
    """Drop what is remembered: a key, a user or a tenant has changed."""
    _remembered.clear()


def _remember(presented: str, caller: Caller) -> None:
    if len(_remembered) >= _LIMIT:
        _remembered.clear()
    until = time.monotonic() + configuration().web.key_cache_seconds
    _remembered[_fingerprint(presented)] = _Remembered(caller, until)


def _fingerprint(presented: str) -> bytes:
    return hashlib.sha256(presented.encode()).digest()
