"""Who is calling? An API key, verified against its stored hash and remembered for seconds.

A revoked key stops working at once if the control channel is up (`forget`), and after
`web.key_cache_seconds` otherwise.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from django.db import connection

from conversations.models import ApiKey
from llmqueue_project.config import configuration
from scheduling.models import Priority
from stores.memory import remembered

log = structlog.get_logger(__name__)

MOST_REMEMBERED = 10_000
USUAL_WEIGHT = 1.0

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
        user_level: the default level of the key's own user; None without either.
        default_level: the tenant's default level.
        user_id: the key's own user; None if it has none.
        user_name: how the tenant calls that user; or empty.
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


class VerifiedKeys:
    """The callers of recently verified keys. Only fingerprints of the keys are kept.

    Args:
        clock: seconds that only go forward.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._remembered: dict[bytes, _Remembered] = {}

    def authenticate(self, presented: str) -> Caller | None:
        """The caller of a key, by Django's connection; None when it is unknown or revoked."""
        if not is_plausible(presented):
            return None
        if known := self.recall(presented):
            return known
        with connection.cursor() as cursor:
            cursor.execute(LOOKUP, {"prefix": prefix(presented)})
            return self.verify(presented, cursor.fetchone())

    def recall(self, presented: str) -> Caller | None:
        """The caller of a recently verified key; never touches the database."""
        found = self._remembered.get(_fingerprint(presented))
        return found.caller if found and found.until > self._clock() else None

    def verify(self, presented: str, row: tuple[Any, ...] | None) -> Caller | None:
        """The caller, if `row` (of `LOOKUP`) belongs to the presented key and has not expired."""
        if row is None or not ApiKey.objects.key_generator.verify(presented, row[1]):
            return None
        expiry: datetime | None = row[2]
        if expiry is not None and expiry.timestamp() < time.time():
            return None
        caller = _caller(row)
        self._remember(presented, caller)
        return caller

    def forget(self) -> None:
        """Drop what is remembered: a key, a user or a tenant has changed."""
        self._remembered.clear()

    def _remember(self, presented: str, caller: Caller) -> None:
        if len(self._remembered) >= MOST_REMEMBERED:
            self._remembered.clear()
        until = self._clock() + configuration().web.key_cache_seconds
        self._remembered[_fingerprint(presented)] = _Remembered(caller, until)


def authenticate(presented: str) -> Caller | None:
    """The caller of a key; remembered if the process keeps a memory."""
    return remembered(VerifiedKeys).authenticate(presented)


def forget() -> None:
    """Make the process verify every key again: a key, a user or a tenant has changed."""
    remembered(VerifiedKeys).forget()


def presented_key(authorization: str, x_api_key: str = "") -> str:
    """The key in `Authorization: Bearer <key>` or `X-API-Key`; empty when there is none."""
    scheme, _, value = authorization.partition(" ")
    return value.strip() if scheme.lower() == "bearer" else x_api_key.strip()


def is_plausible(presented: str) -> bool:
    """Whether a string can be a key at all; others must not reach SQL or the hash."""
    return 0 < len(presented) <= 200 and presented.isascii() and presented.isprintable()


def prefix(presented: str) -> str:
    return presented.partition(".")[0][:8]


def _caller(row: tuple[Any, ...]) -> Caller:
    return Caller(
        key_id=row[0],
        operator=row[3] == ApiKey.Scope.OPERATOR,
        user_id=row[4],
        tenant_id=row[5],
        tenant_name=row[6],
        tenant_weight=weight_of(row[7], row[6]),
        user_level=Priority.of_row(row[8]),
        default_level=level_of(row[9], row[6]),
        highest_level=level_of(row[10], row[6]),
        allow_fallback=row[11],
        user_name=row[12],
    )


def weight_of(value: float, tenant: str) -> float:
    """A tenant's weight; the usual one for what is none, which would stop the clock of all."""
    if math.isfinite(value) and value > 0.0:
        return value
    log.error("tenant.weight_set_aside", tenant=tenant, reason="weight: a number above 0")
    return USUAL_WEIGHT


def level_of(value: int, tenant: str) -> Priority:
    """A tenant's level; normal for a number that is none."""
    level = Priority.of_row(value)
    if level is None:
        log.error("tenant.level_set_aside", tenant=tenant, reason="priority: 0 to 3")
        return Priority.NORMAL
    return level


def _fingerprint(presented: str) -> bytes:
    return hashlib.sha256(presented.encode()).digest()
