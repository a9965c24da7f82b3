"""Balancing on real PostgreSQL, Valkey, web and workers: `python -m benchmarks.balancing.real`.

Six fake endpoints as unequal as the simulated ones get recorded arrivals, compressed in time, once
for each profile; beside it what an oracle makes of the same arrivals in virtual time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psycopg
import redis
import uvloop

from balancing.live.state import live_key
from benchmarks import command, report
from benchmarks.balancing import real_figures
from benchmarks.balancing.fleet import Call, Fleet, fleet
from benchmarks.balancing.plans import Plan, failing, slowed
from benchmarks.balancing.real_figures import Run
from benchmarks.balancing.replaying import Record, replay
from benchmarks.balancing.scenarios import SLOTS, SPEEDS
from benchmarks.contenders import MODEL, Contender
from benchmarks.processes import ProcessFailedError, machine_cpu_seconds, measurable
from benchmarks.stack import Shape, llmqueue
from scheduling.levels import LEVELS

PROFILES = ("expected_work", "least_connections", "peak_ewma", "power_of_two", "round_robin")
FEW = PROFILES[:2]
WORKERS = 2
EVER = 1_000_000.0
IDLE_SECONDS = 60.0
REGISTRY_SECONDS = 0.3
SWITCH = """
insert into balancing_modelpool (pattern, profile, fallback_models, hedging, created_at, updated_at)
values (%s, %s, '[]', true, now(), now())
on conflict (pattern) do update set profile = excluded.profile
"""
LEFT = "select count(*) from scheduling_job where status in ('held', 'queued', 'processing')"


def main() -> int:
    options = _parser().parse_args()
    return command.run(lambda: _measured(options))


def _measured(options: argparse.Namespace) -> int:
    began = time.monotonic()
    runs = _benchmark(options)
    print(f"\n{real_figures.tables(runs)}")
    partial = options.quick or options.profiles or options.slower != 1
    title = f"Balancing on real workers, {(time.monotonic() - began) / 60:.1f} minutes"
    rows = real_figures.rows(runs)
    name = "balancing_real-partial" if partial else "balancing_real"
    report.publish(name, rows, title=title, shown=[row for row in rows if row.goal])
    return 0


def _benchmark(options: argparse.Namespace) -> list[Run]:
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="llmqueue-bench-")))
        endpoints = stack.enter_context(fleet(directory))
        stage = Stage(stack.enter_context(llmqueue(directory, *_shaped(endpoints))), endpoints)
        stage.run("expected_work", slowed(0.5, warm_up=0.0, healthy=4.0, degraded=0.0))
        runs = []
        wanted = _wanted(options)
        for place, (plan, profile) in enumerate(wanted):
            run = stage.run(profile, plan)
            runs.append(run)
            say = f"[{place + 1:2}/{len(wanted)}] {plan.load:.0%} {profile:18}"
            print(f"{say} {len(run.records):,} requests, {run.errors} errors", file=sys.stderr)
        return runs


def _wanted(options: argparse.Namespace) -> list[tuple[Plan, str]]:
    if options.quick:
        found = [(slowed(0.7, warm_up=2, healthy=5, degraded=8), profile) for profile in FEW]
        found.append((failing(0.7, seconds=5), FEW[0]))
    else:
        spans = {"warm_up": 2.0, "healthy": 7.0, "degraded": 14.0}
        found = [(slowed(0.5, **spans), profile) for profile in FEW]
        found += [(slowed(0.7, **spans), profile) for profile in PROFILES]
        found.append((failing(0.7, seconds=8), FEW[0]))
    asked = options.profiles or PROFILES
    return [(plan.slower(options.slower), name) for plan, name in found if name in asked]


def _shaped(endpoints: Fleet) -> tuple[Contender, Shape]:
    """Every worker could fill every slot: the endpoints are what is short."""
    settings = {
        "LLM_BASE_URL": "",
        "LLMQUEUE_ENDPOINTS": endpoints.declared(),
        "LLMQUEUE_BALANCING__REGISTRY_SECONDS": str(REGISTRY_SECONDS),
        "LLMQUEUE_SCHEDULING__MAX_WAIT": json.dumps(dict.fromkeys(LEVELS, EVER)),
    }
    shape = Shape(workers=WORKERS, slots=SLOTS * len(SPEEDS), settings=settings)
    return endpoints.contender, shape


@dataclass(frozen=True, slots=True)
class Stage:
    """The running stack before the running fleet."""

    stack: Contender
    fleet: Fleet

    def run(self, profile: str, plan: Plan) -> Run:
        self._prepare(profile)
        self.fleet.journal()
        before, cpu = sum(self.fleet.requests()), _machine_cpu()
        began = time.monotonic()
        records, start = self._replay(plan)
        seconds = time.monotonic() - began
        busy = (_machine_cpu() - cpu) / seconds / (os.cpu_count() or 1)
        self._wait_until_idle()
        calls = _since(start, self.fleet.journal())
        return Run(
            profile=profile,
            plan=plan,
            records=records,
            calls=calls,
            requests=sum(self.fleet.requests()) - before,
            machine_busy=busy if measurable() else None,
        )

    def _replay(self, plan: Plan) -> tuple[list[Record], float]:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(replay(self.stack, self.fleet, plan))

    def _prepare(self, profile: str) -> None:
        """Another profile, and nothing of what the one before has learned of the endpoints."""
        with psycopg.connect(self.stack.database_url, autocommit=True) as connection:
            connection.execute(SWITCH, (MODEL, profile))
            ids = connection.execute("select id from balancing_endpoint").fetchall()
        with redis.Redis.from_url(self.stack.redis_url) as client:
            client.delete(*(live_key(row[0]) for row in ids))
        time.sleep(3 * REGISTRY_SECONDS)

    def _wait_until_idle(self) -> None:
        """Jobs have ended; losers of hedges, too, have left their endpoints by then."""
        deadline = time.monotonic() + IDLE_SECONDS
        with psycopg.connect(self.stack.database_url, autocommit=True) as connection:
            while time.monotonic() < deadline:
                row = connection.execute(LEFT).fetchone()
                if row is None or not row[0]:
                    return
                time.sleep(0.1)
        raise ProcessFailedError("jobs are left though every client has its answer")


def _since(start: float, journals: list[list[Call]]) -> list[list[tuple[float, float]]]:
    """By endpoint, when its calls ran, in seconds from the start."""
    now = time.monotonic()
    return [
        [(began - start, (now if ended is None else ended) - start) for _, began, ended in calls]
        for calls in journals
    ]


def _machine_cpu() -> float:
    return machine_cpu_seconds() if measurable() else 0.0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.balancing.real", description=__doc__
    )
    parser.add_argument("--quick", action="store_true", help="two profiles, 70 %% only, short")
    parser.add_argument("--profiles", nargs="+", choices=PROFILES, help="these only")
    parser.add_argument("--slower", type=float, default=1.0, help="times: longer answers, fewer")
    return parser


if __name__ == "__main__":
    sys.exit(main())
