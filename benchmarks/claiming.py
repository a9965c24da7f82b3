"""Time single claims, submits and sweep rounds against a queue as it is; prints JSON.

Run by `queue_depth.py` in a process of its own, whose environment names the database. Each claim
is followed by a submit, so that the queue keeps its depth.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from statistics import median, quantiles
from typing import TYPE_CHECKING

import django

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from scheduling.database import Database

WARM_UP = 50


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--level", type=int, required=True)
    parser.add_argument("--flow", type=int, required=True)
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--sweeps", type=int, required=True)
    options = parser.parse_args()
    django.setup()
    print(json.dumps(asyncio.run(_measure(options))))


async def _measure(options: argparse.Namespace) -> dict[str, float]:
    from redis.asyncio import Redis

    from llmqueue_project.config import load
    from scheduling.database import Database

    async with (
        Database(4) as database,
        Redis.from_url(load().redis_url.get_secret_value()) as valkey,
    ):
        claims, submits = await _claims(database, options)
        sweeps = await _sweeps(database, valkey, options.sweeps)
    return {
        "claim_p50": median(claims) * 1000,
        "claim_p99": quantiles(claims, n=100)[98] * 1000,
        "submit_p50": median(submits) * 1000,
        "sweep_p50": median(sweeps) * 1000,
    }


async def _claims(
    database: Database, options: argparse.Namespace
) -> tuple[list[float], list[float]]:
    """Seconds of each claim and of each submit."""
    from uuid import uuid4

    from scheduling.claims import Claims
    from scheduling.database import fetch
    from scheduling.models import Priority
    from scheduling.statements import SUBMIT
    from scheduling.submission import JobSpec, parameters

    claiming = Claims(database, worker="benchmark", lease_seconds=3600)
    claims, submits = [], []
    for place in range(WARM_UP + options.rounds):
        spec = JobSpec(
            level=Priority(options.level),
            model=options.model,
            body="{}",
            flow_id=options.flow,
            tenant_id=uuid4(),
            cost=100.0,
            source="openai",
        )
        began = time.perf_counter()
        (job,) = await claiming.claim(options.level, limit=1, room={options.model: 1})
        claimed = time.perf_counter()
        await fetch(database.durable, SUBMIT, parameters([spec]))
        submitted = time.perf_counter()
        assert job.level == options.level
        if place >= WARM_UP:
            claims.append(claimed - began)
            submits.append(submitted - claimed)
    return claims, submits


async def _sweeps(database: Database, valkey: Redis, rounds: int) -> list[float]:
    """Seconds of each round of the sweep; the first publishes tickets and does not count."""
    from scheduling.sweep import Ended, Sweeper

    async def ignore(_: Ended) -> None:
        return

    sweeper = Sweeper(database=database, client=valkey, on_end=ignore)
    seconds = []
    for place in range(rounds + 3):
        began = time.perf_counter()
        assert await sweeper.once()
        if place >= 3:
            seconds.append(time.perf_counter() - began)
    return seconds


if __name__ == "__main__":
    main()
