"""Reads and writes the live state of endpoints in Valkey, for workers and for pages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import redis
from redis.asyncio import Redis

from balancing.live.scripts import script
from balancing.live.slots import key
from balancing.live.state import FIELDS, Live, Verdict, live_key
from balancing.policies.ejection import Ejection, Standing
from balancing.policies.goodput import Look

LEADER = "llmq:leader"
# Names and values of a hash, as redis-py types them.
Fields = dict[bytes | bytearray | memoryview | str | int | float, Any]
_DAY = 86_400
_ROUNDS = 3


class Work(NamedTuple):
    """What an endpoint has done, and the limit under which it did.

    Attributes:
        limit: the learned limit; 0 if there is none.
        since: Unix time since which it is in force; 0 if limits are not learned.
    """

    look: Look
    limit: int
    since: float


class LiveStore:
    """The live state of all endpoints, through one Valkey client.

    Raises, in every method: redis.RedisError when Valkey is away.
    """

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._read = script(client, "read_live")
        self._apply_standing = script(client, "apply_standing")
        self._take_work = script(client, "take_work")
        self._leadership = script(client, "leadership")

    async def read(self, endpoints: Sequence[int]) -> tuple[float, dict[int, Live]]:
        """Valkey's Unix time, and live state by endpoint id."""
        reply: list[Any] = await self._read(keys=[live_key(e) for e in endpoints], args=FIELDS)
        states = [Live.of_values(values) for values in reply[1:]]
        return reply[0] / 1000, dict(zip(endpoints, states, strict=True))

    async def judge(
        self,
        verdict: Verdict,
        rule: Ejection,
        *,
        others: Sequence[int],
        away: int,
        probes_fail: bool = False,
    ) -> Standing | None:
        """Apply the ejection rule to a verdict; returns the new standing, None if it stays.

        The rule runs here, and a script stores its result. If another worker has changed the
        standing meanwhile, the script refuses, and the rule runs again on what is stored now.

        Args:
            others: the endpoint's peers.
            away: how many of them are out or on trial, by the worker's last knowledge.
            probes_fail: whether its server does not answer probes either.
        """
        seen = verdict.standing
        for _ in range(_ROUNDS):
            found = _decide(
                rule, replace(verdict, standing=seen), away, len(others) + 1, probes_fail
            )
            if found is None:
                return None
            reply = await self._apply_standing(
                keys=[live_key(verdict.endpoint_id), *(live_key(e) for e in others)],
                args=[seen.count, _ms(seen.ejected_until), away, found.failures, found.count,
                      _ms(found.ejected_until), _ms(found.returned_at), verdict.reason],
            )  # fmt: skip
            if reply[0] == 1:
                return found
            if (reply[1], reply[2]) != (seen.count, _ms(seen.ejected_until)):
                return None
            away = reply[3]
        return None

    async def hold_leadership(self, who: str, *, seconds: float) -> bool:
        """Whether this process probes and learns limits for all, for so many seconds."""
        return bool(await self._leadership(keys=[LEADER], args=[who, int(seconds * 1000)]))

    async def take_work(self, endpoints: Sequence[int]) -> dict[int, Work]:
        """The work by endpoint id. Each call is returned only once."""
        keys = [name for e in endpoints for name in (key(e), live_key(e))]
        reply: list[int] = await self._take_work(keys=keys)
        found = {}
        for endpoint, at in zip(endpoints, range(1, len(reply), 7), strict=True):
            in_use, ended, tokens, milliseconds, calls, limit, since = reply[at : at + 7]
            look = Look(reply[0] / 1000, in_use, ended, tokens, milliseconds / 1000, calls)
            found[endpoint] = Work(look, limit, since / 1000)
        return found

    async def store(self, states: Iterable[tuple[int, Fields]]) -> None:
        """Set fields of endpoints. Only the leader calls this, so that nobody else writes them."""
        async with self._client.pipeline(transaction=False) as pipe:
            for endpoint, fields in states:
                pipe.hset(live_key(endpoint), mapping=fields)
                pipe.expire(live_key(endpoint), _DAY)
            await pipe.execute()


def _decide(
    rule: Ejection, verdict: Verdict, away: int, of: int, probes_fail: bool
) -> Standing | None:
    """The new standing; None if the rule leaves it as the release script stored it."""
    seen = verdict.standing
    if verdict.succeeded:
        found = rule.succeeded(seen, now=verdict.at)
    else:
        # The release script has counted this failure, and the rule counts it again.
        before = replace(seen, failures=seen.failures - 1)
        found = rule.failed(
            before,
            now=verdict.at,
            out=away,
            of=of,
            used_up_seconds=verdict.out_seconds,
            probes_fail=probes_fail,
        )
    return None if found == seen else found


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def read_live(client: redis.Redis, endpoints: Sequence[int]) -> dict[int, Live]:
    """Live state by endpoint id, for synchronous code."""
    pipe = client.pipeline(transaction=False)
    for endpoint in endpoints:
        pipe.hmget(live_key(endpoint), FIELDS)
    return {
        endpoint: Live.of_values(values)
        for endpoint, values in zip(endpoints, pipe.execute(), strict=True)
    }
