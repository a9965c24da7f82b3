"""The goals of scheduling, as rows: each a figure of llmqueue's beside a peer's on one replay."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from benchmarks.report import Row
from benchmarks.simulation.measures import Meter
from llmqueue_project.config import configuration
from scheduling.levels import LEVELS

HURT_SECONDS = 30.0
# Who floods, by scenario: the rest are the victims.
LARGEST_TENANT = "104"

# Figures by scenario, then by policy.
Results = Mapping[str, Mapping[str, Meter]]


def rows(levels: Results, fairness: Results, *, slots: int) -> list[Row]:
    """Every goal, at every load that was run."""
    found: list[Row] = []
    for scenario, by_policy in levels.items():
        found += level_goals(scenario, by_policy["llmqueue"], by_policy["strict"], slots=slots)
    for scenario, by_policy in fairness.items():
        found += fairness_goals(scenario, by_policy)
    return found


def level_goals(at: str, ours: Meter, strict: Meter, *, slots: int) -> Iterator[Row]:
    config = configuration().scheduling
    best = ratio(ours.wait("realtime", 0.99), strict.wait("realtime", 0.99))
    yield Row(f"realtime p99 wait / strict, at {at}", best, "x", "<= 1.5")
    share = ratio(ours.share("low"), config.floors.get("low"))
    yield Row(f"low's share while backlogged / its floor, at {at}", share, "x", ">= 0.95")
    use = ours.slot_use(slots)
    yield Row(f"slot use while backlogged, at {at}", use, "of slots", ">= 0.97")
    for level in LEVELS:
        waited = ratio(ours.wait(level, 0.99), config.max_wait.get(level))
        yield Row(f"admitted p99 wait / limit, {level} at {at}", waited, "x", "<= 1.2")
    if ours.estimates.count:
        factor = ours.estimates.quantile(0.5)
        yield Row(f"ETA off by a factor, median, at {at}", factor, "x", "<= 2")


def fairness_goals(at: str, by_policy: Mapping[str, Meter]) -> Iterator[Row]:
    ours = by_policy["fair tags"]
    quiet = victims(ours)
    p99 = {name: meter.waits_of(quiet).quantile(0.99) for name, meter in by_policy.items()}
    beside = ratio(p99["fair tags"], p99["vtc"])
    yield Row(f"victims' p99 wait / per-tenant VTC, {at} noisy", beside, "x", "<= 1.3")
    if at.startswith("4 "):
        hurt = sum((ours.flows[flow].quantile(0.99) or 0) > HURT_SECONDS for flow in quiet)
        yield Row(f"victims hurt, {at} noisy", 100 * hurt / len(quiet), "%", "<= 1")
    for name, seconds in p99.items():
        yield Row(f"victims' p99 wait, {name}, {at} noisy", seconds, "s")


def victims(meter: Meter) -> list[str]:
    """The flows that do not flood."""
    return [flow for flow in meter.flows if flow != LARGEST_TENANT and not flow.startswith("noisy")]


def wait_rows(results: Results) -> Iterator[Row]:
    """Waits and refusals by load, policy and level, for information."""
    for scenario, by_policy in results.items():
        for policy, meter in by_policy.items():
            for level in LEVELS:
                where = f"{policy}, {level} at {scenario}"
                yield Row(f"wait p50, {where}", meter.wait(level, 0.5), "s")
                yield Row(f"wait p99, {where}", meter.wait(level, 0.99), "s")
                if policy == "llmqueue":
                    yield Row(f"refused, {where}", 100 * meter.refused(level), "%")


def ratio(value: float | None, base: float | None) -> float | None:
    """None where either is missing."""
    return value / base if value is not None and base else None
