"""What operators have paused, as a process last saw it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from scheduling.models import Pause, Priority

Kind = Pause.Kind
PAUSES = "select kind, key, reason from scheduling_pause"


@dataclass(frozen=True, slots=True)
class Pauses:
    """Kind and key -> the reason given, of every pause in force."""

    reasons: dict[tuple[str, str], str]

    @classmethod
    def of_rows(cls, rows: Iterable[Any]) -> Pauses:
        """Rows of `PAUSES`, or the array in the first column of `sql/watch.sql`."""
        return cls({(kind, key): reason for kind, key, reason in rows})

    @classmethod
    def of_json(cls, value: Any) -> Pauses:
        return cls.of_rows(json.loads(value) if isinstance(value, str) else value)

    @property
    def intake(self) -> bool:
        return (Kind.INTAKE.value, "") in self.reasons

    @property
    def levels(self) -> frozenset[str]:
        """The names of paused levels."""
        return frozenset(key for kind, key in self.reasons if kind == Kind.LEVEL)

    @property
    def holding(self) -> frozenset[tuple[str, str]]:
        """The pauses that hold jobs: of tenants and of flows."""
        return frozenset(
            (kind, key) for kind, key in self.reasons if kind in (Kind.TENANT, Kind.FLOW)
        )

    def stops(self, level: Priority) -> bool:
        return level.queue in self.levels

    def reason(self, kind: str, key: str = "") -> str:
        return self.reasons.get((kind, key), "")

    def holds(self, *, tenant_id: UUID | None, flow_id: int) -> bool:
        """Whether new jobs of a tenant and flow are held."""
        return bool(
            self.holding & {(Kind.TENANT.value, str(tenant_id)), (Kind.FLOW.value, str(flow_id))}
        )


NONE = Pauses({})
