"""How many requests and tokens may an endpoint still get this minute, over all workers?

Valkey has one hash for each endpoint with a rate limit. It holds the requests and tokens of each
second of Valkey's own clock. A limit holds for any 60 seconds, because a provider's window may
begin at any second. A request is counted when its slot is reserved, and uncounted if no call
starts. Tokens are counted by their estimate when a call starts, and corrected when it ends.
Endpoints without a limit cost no round trip.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from redis.asyncio import Redis

from balancing.live.scripts import script


class RateLimited(Protocol):
    """An endpoint, as rate limits see it; None means no limit."""

    @property
    def id(self) -> int: ...
    @property
    def requests_per_minute(self) -> int | None: ...
    @property
    def tokens_per_minute(self) -> int | None: ...
    @property
    def is_rate_limited(self) -> bool: ...


def key(endpoint_id: int) -> str:
    return f"llmq:rates:{endpoint_id}"


@dataclass(frozen=True, slots=True)
class Allowance:
    """What endpoints with a rate limit allow at one moment; other endpoints are left out.

    Attributes:
        second: Valkey's Unix time; the requests were counted in this second.
        left: endpoint id -> requests that it allowed before any was taken.
        taken: endpoint id -> requests that were counted for us.
    """

    second: int = 0
    left: Mapping[int, int] = field(default_factory=dict)
    taken: Mapping[int, int] = field(default_factory=dict)

    def open_to(self, limits: Mapping[int, int]) -> dict[int, int]:
        """The limits (endpoint id -> slots) of endpoints that still take requests this minute."""
        return {endpoint: most for endpoint, most in limits.items() if self.left.get(endpoint, 1)}


@dataclass(frozen=True, slots=True)
class Correction:
    """Requests and tokens to add to what was counted; negative numbers are refunds."""

    endpoint_id: int
    second: int
    requests: int = 0
    tokens: int = 0


NOTHING_LIMITED = Allowance()


class Rates:
    """The rate limits of all endpoints, through one Valkey client.

    Raises, in every coroutine: redis.RedisError when Valkey is away.
    """

    def __init__(self, client: Redis) -> None:
        self._take = script(client, "take_rates")
        self._correct = script(client, "correct_rates")
        # Lease -> what was counted for its call: endpoint id, second, tokens.
        self._charged: dict[str, tuple[int, int, int]] = {}
        self._corrections: list[Correction] = []

    async def take(self, targets: Iterable[RateLimited], wanted: int) -> Allowance:
        """Count up to `wanted` requests at each endpoint with a limit; 0 reads what is left."""
        limited = [target for target in targets if target.is_rate_limited]
        if not limited:
            return NOTHING_LIMITED
        arguments: list[int] = [wanted]
        for target in limited:
            arguments += [_or_none(target.requests_per_minute), _or_none(target.tokens_per_minute)]
        reply: list[Any] = await self._take(
            keys=[key(target.id) for target in limited], args=arguments
        )
        ids = [target.id for target in limited]
        left = dict(zip(ids, reply[1::2], strict=True))
        return Allowance(reply[0], left, dict(zip(ids, reply[2::2], strict=True)))

    async def count(
        self, allowance: Allowance, started: Mapping[int, Sequence[tuple[str, int]]]
    ) -> None:
        """Refund requests that were taken for nothing; count the tokens of calls that start.

        Args:
            started: endpoint id -> (lease, estimated tokens) of each call that starts.
        """
        for endpoint, taken in allowance.taken.items():
            calls = started.get(endpoint, ())
            tokens = sum(estimate for _, estimate in calls)
            self._note(endpoint, allowance.second, requests=len(calls) - taken, tokens=tokens)
            for lease, estimate in calls:
                self._charged[lease] = (endpoint, allowance.second, estimate)
        await self.flush()

    def spent(self, lease: str, tokens: int | None) -> None:
        """Note that a call has used so many tokens; None keeps its estimate. `flush` sends it."""
        charged = self._charged.pop(lease, None)
        if charged is not None and tokens is not None:
            endpoint, second, estimate = charged
            self._note(endpoint, second, tokens=tokens - estimate)

    async def flush(self) -> None:
        """Send all corrections since the last time to Valkey."""
        if not self._corrections:
            return
        corrections, self._corrections = self._corrections, []
        arguments: list[int] = []
        for each in corrections:
            arguments += [each.second, each.requests, each.tokens]
        try:
            await self._correct(
                keys=[key(each.endpoint_id) for each in corrections], args=arguments
            )
        except BaseException:
            self._corrections = corrections + self._corrections
            raise

    def _note(self, endpoint: int, second: int, *, requests: int = 0, tokens: int = 0) -> None:
        if requests or tokens:
            self._corrections.append(Correction(endpoint, second, requests, tokens))


def _or_none(limit: int | None) -> int:
    return -1 if limit is None else limit
