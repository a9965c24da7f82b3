"""The measured figures as rows with their goals, as text and as a picture."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks import drawing
from benchmarks.balancing.scenarios import DEFAULT, ORACLE, Case, Figures, policies
from benchmarks.drawing import Bars
from benchmarks.report import Row

Results = Mapping[Case, Figures]

GOALS: Mapping[tuple[str, float], tuple[str, str | None]] = {
    ("healthy", 0.5): ("<= 1.1", None),
    ("healthy", 0.7): ("<= 1.15", None),
    ("degraded", 0.5): ("<= 1.4", ">= 99"),
    ("degraded", 0.7): ("<= 1.4", ">= 93"),
}
"""By condition and load: of p99 by the oracle's, and of goodput in percent."""
ATTEMPTS_GOAL = "<= 1.2"


def goals(results: Results) -> list[Row]:
    """What the default profile has promised."""
    rows = []
    for (condition, load), (ratio_goal, goodput_goal) in GOALS.items():
        ours = results[Case(DEFAULT, condition, load)]
        oracle = results[Case(ORACLE, condition, load)]
        name = f"{condition}, {load:.0%}: {DEFAULT}"
        rows.append(Row(f"{name} p99 / oracle", ours.p99 / oracle.p99, "", ratio_goal))
        if goodput_goal:
            rows.append(Row(f"{name} goodput", ours.goodput, "%", goodput_goal))
    failing = results[Case(DEFAULT, "failing", 0.7)]
    rows.append(Row(f"failing, 70%: {DEFAULT} attempts", failing.attempts, "", ATTEMPTS_GOAL))
    ours, plain = (
        results[Case(name, "conversations", 0.7)] for name in (DEFAULT, "least_connections")
    )
    name = f"conversations, 70%: {DEFAULT} prefill saved"
    rows.append(Row(f"{name} / least_connections", ours.saved / plain.saved, ""))
    return rows


def rows(results: Results) -> list[Row]:
    """Everything, the goals first."""
    found = goals(results)
    for case, figures in results.items():
        name = f"{case.condition}, {case.load:.0%}: {case.policy}"
        found += [
            Row(f"{name} p50", figures.p50, "s"),
            Row(f"{name} p99", figures.p99, "s"),
            Row(f"{name} p99.9", figures.p999, "s"),
            Row(f"{name} goodput", figures.goodput, "%"),
            Row(f"{name} slots in use", figures.slots, "%"),
        ]
        if case.condition == "failing":
            found.append(Row(f"{name} attempts", figures.attempts, ""))
        if case.condition == "conversations":
            found.append(Row(f"{name} prefill saved", figures.saved, "% of ideal"))
    return found


def tables(results: Results) -> str:
    """One table a condition, a line a policy."""
    parts = []
    for condition, load in dict.fromkeys((case.condition, case.load) for case in results):
        parts.append(_table(results, condition, load))
    return "\n\n".join(parts)


def _table(results: Results, condition: str, load: float) -> str:
    last = {"failing": "attempts", "conversations": "saved %"}.get(condition, "")
    head = ("p50 s", "p99 s", "p99.9 s", "goodput %", "slots %", last)
    lines = [f"{f'{condition}, {load:.0%} load':36}" + "".join(f"{name:>11}" for name in head)]
    for case, found in results.items():
        if (case.condition, case.load) != (condition, load):
            continue
        values = [f"{found.p50:.2f}", f"{found.p99:.1f}", f"{found.p999:.1f}"]
        values += [f"{found.goodput:.1f}", f"{found.slots:.0f}"]
        if last:
            values.append(
                f"{found.attempts:.3f}" if condition == "failing" else f"{found.saved:.1f}"
            )
        lines.append(f"{case.policy:36}" + "".join(f"{value:>11}" for value in values))
    return "\n".join(line.rstrip() for line in lines)


def picture(results: Results) -> str:
    """The figures that decide, as SVG."""
    names = policies()

    def values(condition: str, load: float, field: str) -> list[float | None]:
        found = (results.get(Case(name, condition, load)) for name in names)
        return [None if each is None else float(getattr(each, field)) for each in found]

    charts = [
        Bars(
            f"99th percentile, {load:.0%} load",
            "seconds, end to end",
            names,
            {kind: values(kind, load, "p99") for kind in ("healthy", "degraded")},
        )
        for load in (0.5, 0.7)
    ]
    charts += [
        Bars(
            "Late or too slow, while degraded",
            "% of requests",
            names,
            {
                f"{load:.0%} load": [
                    None if each is None else 100 - each
                    for each in values("degraded", load, "goodput")
                ]
                for load in (0.5, 0.7)
            },
        ),
        Bars(
            "Long conversations: prompt tokens not read again",
            "% of what one unlimited cache saves",
            names,
            {"saved": values("conversations", 0.7, "saved")},
        ),
    ]
    return drawing.picture(
        charts,
        title="Where requests run: six unequal endpoints, simulated",
        subtitle="speeds 1, 1, 1, .5, .5, .25; degraded: one fast endpoint 10 x slower for 300 s",
    )
