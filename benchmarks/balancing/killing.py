"""Do slots leak when their holders are killed? The work of `kills`, once Django is set up.

Processes take, renew and free slots through the workers' own code, against a real Valkey, and are
killed with SIGKILL at random moments: between reservation and lease, in the middle of a release, as
the one that has an endpoint's trial. When the last leases have run out, nothing may be left: no
slot, no running cost, no trial. A whole worker's death is `tests/acceptance/test_balancing.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import time
from multiprocessing import get_context
from multiprocessing.context import ForkProcess

import redis
from redis.asyncio import Redis

from balancing.live.slots import NotReady, Slots, key
from balancing.live.state import CallOutcome, Ending, live_key
from benchmarks import report
from benchmarks.report import Row
from llmqueue_project.embedded.services import Services

ENDPOINTS = {1: 4, 2: 8, 3: 16}
LEASE_SECONDS, RESERVATION_SECONDS = 1.0, 0.5
OUTCOMES = (
    CallOutcome.ANSWERED, CallOutcome.ANSWERED, CallOutcome.SILENT, CallOutcome.FAILED
)  # fmt: skip
FORK = get_context("fork")
GOALS = dict.fromkeys(("over_limit", "slots_leaked", "cost_leaked"), "== 0")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--holders", type=int, default=4, help="processes at once")
    options = parser.parse_args()
    with Services() as services:
        found = _kill_many(services.redis_url, options.kills, options.holders)
    rows = [
        Row(name.replace("_", " "), value, "", GOALS.get(name)) for name, value in found.items()
    ]
    title = f"Holders of slots, killed {options.kills} times"
    report.publish("kills" if options.kills >= 100 else "kills-partial", rows, title=title)
    return 1 if report.missed(rows) else 0


async def _hold(url: str) -> None:
    """Take, keep and free slots, for ever."""
    slots = Slots(
        Redis.from_url(url),
        lease_seconds=LEASE_SECONDS,
        reservation_seconds=RESERVATION_SECONDS,
    )
    await slots.open_epoch(quiet_seconds=0)
    turn = 0
    while True:
        turn += 1
        try:
            reservation = await slots.reserve(ENDPOINTS, random.randint(1, 4))
        except NotReady:
            continue
        leases = {
            endpoint: [f"{os.getpid()}.{turn}.{n}/{n + 10}" for n in range(room.reserved)]
            for endpoint, room in reservation.rooms.items()
        }
        await slots.confirm(reservation, leases)
        await asyncio.sleep(random.random() * 0.01)
        await slots.renew(leases)
        outcome = random.choice(OUTCOMES)
        await slots.release(
            [Ending(e, lease, outcome) for e, own in leases.items() for lease in own]
        )


def _kill_many(url: str, kills: int, holders: int) -> dict[str, int | float]:
    running = [_holder(url) for _ in range(holders)]
    held = over = 0
    began = time.monotonic()
    with redis.Redis.from_url(url) as client:
        # One endpoint is on trial throughout: the trial must come free again, too.
        client.hset(live_key(1), "ejected_until", 1)
        try:
            _wait_for_leases(client)
            for _ in range(kills):
                time.sleep(random.random() * 0.1)
                victim = running.pop(0)
                victim.kill()
                victim.join()
                in_use = {e: _zcard(client, e) for e in ENDPOINTS}
                held += sum(in_use.values())
                over += sum(in_use[e] > most for e, most in ENDPOINTS.items())
                running.append(_holder(url))
        finally:
            for process in running:
                process.kill()
                process.join()
        seconds = time.monotonic() - began
        time.sleep(LEASE_SECONDS + 0.2)
        slots = asyncio.run(_left(url))
        costs = [int(client.hget(live_key(e), "cost") or 0) for e in ENDPOINTS]
    return {
        "kills": kills,
        "seconds": round(seconds, 1),
        "slots_in_use_at_kills": held,
        "over_limit": over,
        "slots_leaked": slots,
        "cost_leaked": sum(map(abs, costs)),
    }


def _holder(url: str) -> ForkProcess:
    """Forked: a fresh interpreter would be killed before it had imported anything."""
    process = FORK.Process(target=_run, args=(url,), daemon=True)
    process.start()
    return process


def _run(url: str) -> None:
    asyncio.run(_hold(url))


def _wait_for_leases(client: redis.Redis) -> None:
    while not any(_zcard(client, endpoint) for endpoint in ENDPOINTS):
        time.sleep(0.05)


def _zcard(client: redis.Redis, endpoint: int) -> int:
    return int(client.zcard(key(endpoint)))


async def _left(url: str) -> int:
    """Slots that a fresh look still counts as used, and one for a trial that is not given."""
    async with Redis.from_url(url) as client:
        slots = Slots(client, lease_seconds=1, reservation_seconds=1)
        rooms = (await slots.reserve(ENDPOINTS, 1)).rooms
        trial_is_stuck = not rooms[1].reserved
        return sum(room.used for room in rooms.values()) + trial_is_stuck
