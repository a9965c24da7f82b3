"""Recorded arrivals of LLM services, read from `traces/`, and how to shape them to a question.

Readers give a tuple in order of time; everything else takes any iterable of arrivals and yields
them one at a time, so that a day of load needs no more memory than an hour. Everything random is
drawn from a seed: the same call gives the same arrivals in every process.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate, count
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "traces"
BLOCK_TOKENS = 512
# Share of requests by level, highest first.
MIX: Mapping[str, float] = {"realtime": 0.1, "high": 0.2, "normal": 0.4, "low": 0.3}


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request of a trace.

    Attributes:
        ts: seconds from the first request.
        flow: whom it belongs to: the trace's tenant, or one given by `with_flows`; "" if none.
        level: its priority level; "normal" until `with_levels`.
        session: the conversation it belongs to; "" where the trace does not say.
        prefix_tokens: leading input tokens that occurred earlier in the trace.
    """

    ts: float
    input_tokens: int
    output_tokens: int
    flow: str = ""
    level: str = "normal"
    session: str = ""
    prefix_tokens: int = 0


# ---- the files ------------------------------------------------------------------------------


def azure_conversation() -> tuple[Arrival, ...]:
    """Chat: 19,366 requests in 58 minutes, near Poisson."""
    return _read("azure2023_conv.csv")


def azure_code() -> tuple[Arrival, ...]:
    """Code completion: 8,819 requests in 57 minutes, in bursts."""
    return _read("azure2023_code.csv")


def mooncake_conversation() -> tuple[Arrival, ...]:
    """Long conversations: 12,031 requests in 59 minutes, with sessions and shared prefixes."""
    return _read("mooncake_conversation.csv")


def servegen_tenants() -> tuple[Arrival, ...]:
    """47 tenants, 19,976 requests in an hour; tenant "104" sends 60.6 % of them."""
    return _read("servegen_mlarge_tenants.csv")


TRACES: Mapping[str, Callable[[], tuple[Arrival, ...]]] = {
    "azure-conversation": azure_conversation,
    "azure-code": azure_code,
    "mooncake-conversation": mooncake_conversation,
    "servegen-tenants": servegen_tenants,
}


def from_file(path: Path) -> tuple[Arrival, ...]:
    """A trace of one's own: columns ts, input_tokens, output_tokens, and tenant, level, session.

    Raises:
        ValueError: a column is missing, a figure is none, or nothing is in it.
    """
    try:
        with path.open(newline="") as file:
            arrivals = [_arrival(row) for row in csv.DictReader(file)]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a trace: {error!r}") from error
    if not arrivals:
        raise ValueError(f"{path} holds no arrivals")
    return tuple(sorted(arrivals, key=lambda each: each.ts))


@lru_cache(maxsize=len(TRACES))
def _read(name: str) -> tuple[Arrival, ...]:
    with (FOLDER / name).open(newline="") as file:
        return tuple(_arrival(row) for row in csv.DictReader(file))


def _arrival(row: Mapping[str, str]) -> Arrival:
    tokens = int(row["input_tokens"])
    return Arrival(
        ts=float(row["ts"]),
        input_tokens=tokens,
        output_tokens=int(row["output_tokens"]),
        flow=row.get("tenant", ""),
        level=row.get("level", "normal"),
        session=row.get("session", ""),
        prefix_tokens=min(tokens, int(row.get("prefix_hit_blocks", 0)) * BLOCK_TOKENS),
    )


# ---- time and load --------------------------------------------------------------------------


def compressed(arrivals: Iterable[Arrival], factor: float) -> Iterator[Arrival]:
    """The same requests in 1/factor of the time."""
    return (replace(each, ts=each.ts / factor) for each in arrivals)


def offered_load(
    arrivals: Sequence[Arrival], *, slots: int, service_seconds: Callable[[Arrival], float]
) -> float:
    """Work that arrives by what the slots can do in that time; 1 is as much as they can."""
    return sum(map(service_seconds, arrivals)) / (slots * span_seconds(arrivals))


def at_load(
    arrivals: Sequence[Arrival],
    load: float,
    *,
    slots: int,
    service_seconds: Callable[[Arrival], float],
) -> Iterator[Arrival]:
    """Arrivals moved closer together, or apart, until the offered load is `load`."""
    now = offered_load(arrivals, slots=slots, service_seconds=service_seconds)
    return compressed(arrivals, load / now)


def span_seconds(arrivals: Sequence[Arrival]) -> float:
    """From the first request to a mean gap after the last: the period of a repetition."""
    if len(arrivals) < 2:
        return 1.0
    between = arrivals[-1].ts - arrivals[0].ts
    return between * len(arrivals) / (len(arrivals) - 1)


def repeated(arrivals: Sequence[Arrival], *, seconds: float) -> Iterator[Arrival]:
    """The trace over and over, for so long; a later repetition's sessions are others."""
    period, first = span_seconds(arrivals), arrivals[0].ts
    for turn in count():
        for each in arrivals:
            ts = each.ts - first + turn * period
            if ts >= seconds:
                return
            session = f"{each.session}/{turn}" if each.session and turn else each.session
            yield replace(each, ts=ts, session=session)


def until(arrivals: Iterable[Arrival], seconds: float) -> Iterator[Arrival]:
    """Those that arrive before an instant."""
    for each in arrivals:
        if each.ts >= seconds:
            return
        yield each


# ---- levels and flows -----------------------------------------------------------------------


def with_levels(
    arrivals: Iterable[Arrival], mix: Mapping[str, float] = MIX, *, seed: int = 1
) -> Iterator[Arrival]:
    """Each request at a level drawn with the mix's weights."""
    for each, level in zip(arrivals, _drawn(mix, seed), strict=False):
        yield replace(each, level=level)


def with_flows(
    arrivals: Iterable[Arrival], weights: Mapping[str, float], *, seed: int = 1
) -> Iterator[Arrival]:
    """Each request from a flow drawn with these weights, for traces that have none."""
    for each, flow in zip(arrivals, _drawn(weights, seed), strict=False):
        yield replace(each, flow=flow)


def noisy_flows(flows: int, *, noisy: int, share: float) -> dict[str, float]:
    """Weights for `with_flows`: the noisy ones send `share` together, the others the rest alike."""
    names = [f"noisy-{n}" for n in range(noisy)] + [f"quiet-{n}" for n in range(flows - noisy)]
    return {
        name: share / noisy if n < noisy else (1 - share) / (flows - noisy)
        for n, name in enumerate(names)
    }


def _drawn(weights: Mapping[str, float], seed: int) -> Iterator[str]:
    rng, names = random.Random(seed), list(weights)
    limits = list(accumulate(weights.values()))
    while True:
        yield rng.choices(names, cum_weights=limits)[0]
