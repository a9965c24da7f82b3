"""What a person sees of the runs: the table of waits, and the picture."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks import drawing
from benchmarks.drawing import Bars, Chart, Line, Lines
from benchmarks.report import figure
from benchmarks.simulation.goals import Results, victims
from benchmarks.simulation.measures import Meter
from llmqueue_project.config import configuration
from scheduling.levels import LEVELS

# Charts that stand side by side have one scale.
MOST_SECONDS = 3000.0


def waits(results: Results) -> str:
    """Waits as p50/p99 by load, policy and level, with the refused and the share of low."""
    lines: list[tuple[str, ...]] = [
        ("load", "policy", *LEVELS, "refused %", "low's share", "busy slots")
    ]
    for scenario, by_policy in results.items():
        for policy, meter in by_policy.items():
            lines.append((scenario, policy, *_figures(meter)))
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    rule = tuple("-" * width for width in widths)
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in (lines[0], rule, *lines[1:])
    )


def _figures(meter: Meter) -> list[str]:
    both = [
        f"{figure(meter.wait(level, 0.5))}/{figure(meter.wait(level, 0.99))}" for level in LEVELS
    ]
    refused = "/".join(f"{100 * meter.refused(level):.0f}" for level in LEVELS)
    share = meter.share("low")
    used = meter.elapsed and meter.busy_seconds / meter.elapsed
    return [*both, refused, "-" if share is None else f"{share:.0%}", f"{used:.1f}"]


def picture(levels: Results, fairness: Results, *, subtitle: str) -> str:
    """SVG: waits over time of a few policies at the highest load, p99 of all, and the victims'."""
    worst = list(levels)[-1]
    by_policy = levels[worst]
    charts: list[Chart] = [
        over_time(f"{policy}, {worst} load", by_policy[policy])
        for policy in ("llmqueue", "strict", "fifo", "celery")
        if policy in by_policy
    ]
    charts += [p99(scenario, levels) for scenario in levels]
    if fairness:
        charts.append(flood(fairness))
    return drawing.picture(charts, title="Scheduling in virtual time", subtitle=subtitle)


def over_time(title: str, meter: Meter) -> Lines:
    """Mean wait of those who came in each bin, by level; where all were refused there is none."""
    width = meter.bin_seconds
    bins = 1 + max((place for level in LEVELS for place in meter.timeline[level]), default=0)
    lines = []
    for level in LEVELS:
        found = meter.timeline[level]
        points = [
            (n * width / 60, found[n].mean if n in found else None) for n in range(bins)
        ]  # fmt: skip
        lines.append(Line(level, points))
    limits = {"low may wait": configuration().scheduling.max_wait.get("low", 600.0)}
    return Lines(
        f"Wait by level: {title}",
        "minute of submission",
        "mean wait, seconds",
        lines,
        limits=limits,
        log=True,
        least=0.01,
        most=MOST_SECONDS,
    )


def p99(scenario: str, results: Results) -> Bars:
    by_policy = results[scenario]
    bars: dict[str, Sequence[float | None]] = {
        level: [meter.wait(level, 0.99) for meter in by_policy.values()] for level in LEVELS
    }
    title = f"p99 wait by policy, {scenario} load"
    return Bars(title, "seconds", list(by_policy), bars, log=True, least=0.1, most=MOST_SECONDS)


def flood(fairness: Results) -> Bars:
    """Victims of a flood, p99, by order within the level."""
    policies = list(next(iter(fairness.values())))
    bars: dict[str, Sequence[float | None]] = {}
    for scenario, by_policy in fairness.items():
        row = [
            by_policy[name].waits_of(victims(by_policy[name])).quantile(0.99) for name in policies
        ]
        bars[scenario] = row
    return Bars(
        "p99 wait of those who do not flood, 150 % load", "seconds", policies, bars, log=True
    )
