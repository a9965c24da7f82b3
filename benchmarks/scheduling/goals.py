"""The rows: every goal of the scheduling design beside the peers' figures, from the same run."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from benchmarks.load import percentile
from benchmarks.report import Row
from benchmarks.scheduling import ideal, measures
from benchmarks.scheduling.contenders import FIFO, PRODUCT, STOCK
from benchmarks.scheduling.plan import FLOORS, SLOTS
from benchmarks.scheduling.records import Run
from scheduling.levels import LEVELS

LATE_MS = 10.0


def rows(runs: Sequence[Run]) -> list[Row]:
    """What has a goal first, each followed by the peers'."""
    chats = [run for run in runs if run.scenario.name.startswith("chat")]
    floods = [run for run in runs if run.scenario.name.startswith("tenants")]
    found = [*_realtime(chats), *_by_strict(chats), *_low_share(chats), *_use(chats)]
    found += [*_limits(chats), *_victims(floods), *_promises(chats)]
    return [*found, *_troubles(runs), *_refusals(chats), *_waits(chats), *_load(runs)]


def shown(rows: Sequence[Row]) -> list[Row]:
    """Those for the table; the waits have one of their own."""
    return [row for row in rows if not row.name.startswith("wait at")]


def wait_table(runs: Sequence[Run]) -> str:
    """Waits as the design's own table has them: p50/p99 by level."""
    lines: list[tuple[str, ...]] = [("load", "contender", *LEVELS)]
    for run in runs:
        if not run.scenario.name.startswith("chat"):
            continue
        cells = [_cell(run, level) for level in LEVELS]
        lines.append((f"{run.scenario.percent} %", run.contender, *cells))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _cell(run: Run, level: str) -> str:
    half, most = (measures.wait_at(run, level, part) for part in (0.5, 0.99))
    if half is None or most is None:
        return "-"
    more = "+" if run.stopped is not None else ""
    return f"{half:.2f}/{most:.2f}{more}"


def _realtime(runs: Sequence[Run]) -> list[Row]:
    found = []
    for run in runs:
        wait = measures.wait_at(run, "realtime", 0.99)
        goal = "<= 6" if run.contender == PRODUCT and run.scenario.percent == 130 else None
        name = f"realtime p99 wait / (service / slots) at {_at(run)}"
        unit = run.scenario.compression.unit_seconds
        found.append(Row(name, None if wait is None else wait / unit, "x", goal))
    return found


def _by_strict(runs: Sequence[Run]) -> list[Row]:
    found = []
    for run in runs:
        if run.contender != PRODUCT:
            continue
        perfect = ideal.waits(run.scenario.requests, ideal.Strict(), slots=SLOTS)
        best = percentile(
            [perfect[record.request.number] for record in run.at_level("realtime")], 0.99
        )
        wait = measures.wait_at(run, "realtime", 0.99)
        value = wait / best if wait is not None and best else None
        name = f"realtime p99 wait / ideal strict's at {_at(run)}"
        found.append(Row(name, value, "x", "<= 1.5"))
        found.append(
            Row(f"realtime p99 wait of ideal strict at {run.scenario.percent} %", best, "s")
        )
    return found


def _low_share(runs: Sequence[Run]) -> list[Row]:
    found = []
    for run in runs:
        value = measures.share(run, "low")
        if run.scenario.load <= 1 or value is None:
            continue
        goal = ">= 0.95" if run.contender == PRODUCT else None
        name = f"low's share while backlogged / its floor at {_at(run)}"
        found.append(Row(name, value / FLOORS["low"], "x", goal))
    return found


def _use(runs: Sequence[Run]) -> list[Row]:
    found = []
    for run in runs:
        value = measures.slot_use(run)
        if run.scenario.load <= 1 or value is None:
            continue
        goal = ">= 0.97" if run.contender == PRODUCT else None
        found.append(Row(f"slot use while backlogged at {_at(run)}", value, "", goal))
    return found


def _limits(runs: Sequence[Run]) -> list[Row]:
    """Of the levels whose limit is shorter than the run: others cannot be judged by it."""
    found = []
    for run in runs:
        for level in LEVELS:
            value = measures.wait_by_limit(run, level)
            if run.contender == PRODUCT and value is not None:
                name = f"admitted {level} p99 wait / its limit at {run.scenario.percent} %"
                found.append(Row(name, value, "x", "<= 1.2"))
    return found


def _victims(runs: Sequence[Run]) -> list[Row]:
    found = []
    for run in runs:
        ours, where = run.contender == PRODUCT, f"tenants at {_at(run)}"
        waits = measures.victim_waits(run)
        unit = "s" if run.stopped is None else "s (at least)"
        if ours:
            found += _by_counters(run, learnt=True)
        found.append(Row(f"victims' p99 wait, {where}", _p99(waits), unit))
        hurt = measures.victims_hurt(run)
        goal = "<= 1" if ours else None
        found.append(Row(f"victims hurt, {where}", _percent(hurt), "%", goal))
        if ours:
            found += _by_counters(run, learnt=False)
            hurt = measures.victims_hurt(run, learnt=False)
            found.append(Row(f"victims hurt, {where}, from an idle start on", _percent(hurt), "%"))
    return found


def _by_counters(run: Run, *, learnt: bool) -> list[Row]:
    most = _p99(measures.victim_waits(run, learnt=learnt))
    best = _p99(measures.perfect_victim_waits(run.scenario, learnt=learnt))
    value = most / best if most is not None and best else None
    where = f"tenants at {run.scenario.percent} %"
    if not learnt:
        name = f"victims' p99 wait / ideal token counters', {where}, from an idle start on"
        return [Row(name, value, "x")]
    return [
        Row(f"victims' p99 wait / ideal token counters', {where}", value, "x", "<= 1.3"),
        Row(f"victims' p99 wait of ideal token counters, {where}", best, "s"),
    ]


def _p99(waits: Sequence[float]) -> float | None:
    return percentile(list(waits), 0.99) if waits else None


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _promises(runs: Sequence[Run]) -> list[Row]:
    ours = [run for run in runs if run.contender == PRODUCT and run.scenario.load > 1]
    if not ours:
        return []
    errors = measures.promise_errors(ours)
    found = [Row("promised wait, promises compared", float(len(errors)), "")]
    if errors:
        name = "promised wait against the true one, median error"
        found.insert(0, Row(name, median(errors), "x", "<= 2"))
    if early := measures.promise_errors(ours, learnt=False):
        name = "promised wait against the true one, from an idle start on"
        found.append(Row(name, median(early), "x"))
    for way in ("estimated_wait", "/events eta", "/v1 comment"):
        if some := measures.promise_errors(ours, way):
            found.append(Row(f"promised wait against the true one, {way}", median(some), "x"))
            found.append(Row(f"promised wait, p90 error, {way}", percentile(some, 0.9), "x"))
    return found


def _troubles(runs: Sequence[Run]) -> list[Row]:
    found = []
    for name in (PRODUCT, FIFO, STOCK):
        own = [run for run in runs if run.contender == name]
        if not own:
            continue
        goal = "== 0" if name == PRODUCT else None
        errors = float(sum(run.errors for run in own))
        otherwise = float(sum(run.ended_otherwise for run in own))
        found.append(Row(f"errors, {name}", errors, "", goal))
        found.append(Row(f"accepted that did not end exactly once, {name}", otherwise, "", goal))
    return found


def _refusals(runs: Sequence[Run]) -> list[Row]:
    return [
        Row(
            f"refused {level} at {run.scenario.percent} %",
            100 * measures.refused_share(run, level),
            "%",
        )
        for run in runs
        if run.contender == PRODUCT and run.scenario.load > 1
        for level in LEVELS
    ]


def _waits(runs: Sequence[Run]) -> list[Row]:
    return [
        Row(
            f"wait at {run.scenario.percent} %, {level} {name}, {run.contender}",
            measures.wait_at(run, level, part),
            "s (at least)" if run.stopped is not None else "s",
        )
        for run in runs
        for level in LEVELS
        for name, part in (("p50", 0.5), ("p99", 0.99))
    ]


def _load(runs: Sequence[Run]) -> list[Row]:
    """Whether the machine, and not the slots, was what was short."""
    service = runs[0].scenario.compression.service_seconds
    found = [Row("mean service time", service, "s"), Row("slots", float(SLOTS), "")]
    late = [
        (record.sent - record.request.at) * 1000
        for run in runs
        for record in run.records
        if record.sent is not None
    ]
    found.append(Row("sent late, p99", percentile(late, 0.99), "ms", f"<= {LATE_MS:g}"))
    for run in runs:
        if run.seconds and run.cpu:
            used = sum(run.cpu.values()) / run.seconds
            found.append(Row(f"CPU, {run.scenario.name}, {run.contender}", used, "cores"))
    if any(run.cpu for run in runs):
        worst = max(run.others_percent for run in runs)
        found.append(Row("CPU taken by other processes, worst", worst, "% of the machine"))
    return found


def _at(run: Run) -> str:
    return f"{run.scenario.percent} %, {run.contender}"
