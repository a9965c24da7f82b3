"""Which endpoint serves each of the jobs that were claimed together."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from balancing.choice.endpoint_view import EndpointView
from balancing.choice.explanation import explain
from balancing.live.slots import Reservation
from balancing.policies.prefixes import PrefixMemory
from balancing.policies.snapshot import EndpointSnapshot
from scheduling.dispatch.claimed import Claimed
from scheduling.dispatch.slot import Placement
from scheduling.dispatch.wanted import wanted_of


class Chooser:
    """Applies the profile of each job's model to what this worker sees of the endpoints."""

    def __init__(self, view: EndpointView) -> None:
        self._view = view
        self._rng = random.Random()  # noqa: S311 - choices, not secrets
        self._memory = PrefixMemory()

    def choose(
        self,
        reservation: Reservation,
        jobs: Sequence[Claimed],
        tried: frozenset[int] = frozenset(),
        *,
        model: str = "",
        because: Mapping[str, str] | None = None,
    ) -> list[Placement | None]:
        """An endpoint for each job, None where there is no room after all.

        Args:
            tried: endpoints that come last.
            model: a fallback in place of the model they ask for.
            because: what else the record of the choice should say.
        """
        table = self._view.snapshots(reservation)
        found: list[Placement | None] = []
        for job in jobs:
            placement = self._choose(table, reservation.at, job, tried, model or job.model, because)
            if placement is not None and len(found) + 1 < len(jobs):
                # The next one of the group sees what this one took.
                taken = table[placement.target.id]
                table[placement.target.id] = replace(
                    taken,
                    in_use=taken.in_use + 1,
                    free=taken.free - 1,
                    running_cost=taken.running_cost + job.cost,
                )
            found.append(placement)
        return found

    def _choose(
        self,
        table: Mapping[int, EndpointSnapshot],
        now: float,
        job: Claimed,
        tried: frozenset[int],
        model: str,
        because: Mapping[str, str] | None,
    ) -> Placement | None:
        profile = self._view.model_pools.rules_for(model).profile
        wanted = wanted_of(job, profile, self._memory, model=model, tried=tried)
        choice = profile.choose(table.values(), wanted, now=now, rng=self._rng)
        if choice is None:
            return None
        if wanted.prefix:
            self._memory.remember(wanted, choice.endpoint.id)
        why: dict[str, Any] = explain(profile, choice, table.values(), wanted, now=now)
        fallback = model if model != job.model else ""
        why |= {"model": fallback} if fallback else {}
        why |= {"trial": True} if choice.endpoint.on_trial else {}
        why |= because or {}
        return Placement(
            self._view.targets[choice.endpoint.id],
            orjson.dumps(why).decode(),
            _first_seconds(choice.endpoint, table, job.stream, wanted.output_tokens),
            fallback,
        )


def _first_seconds(
    endpoint: EndpointSnapshot,
    table: Mapping[int, EndpointSnapshot],
    streamed: bool,
    output_tokens: int,
) -> float:
    """When a call there should say its first word; an unstreamed answer says all at once.

    An endpoint that was never measured is expected to be like the slowest that serves its models.
    """
    alike = [endpoint] if endpoint.first_token_seconds else [
        e for e in table.values() if not e.model_names.isdisjoint(endpoint.model_names)
    ]  # fmt: skip
    first = max((e.first_token_seconds for e in alike), default=0.0)
    if streamed:
        return first
    token = endpoint.token_seconds or max((e.token_seconds for e in alike), default=0.0)
    return first + output_tokens * token if token else 0.0
