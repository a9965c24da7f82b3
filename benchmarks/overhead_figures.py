"""The rows of the overhead benchmark: medians over repetitions, ratios within one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from statistics import median

from benchmarks.measuring import Load, Sample
from benchmarks.processes import measurable
from benchmarks.report import Row

Samples = dict[tuple[str, str], list[Sample]]
"""By contender and load, one for each repetition."""


def figures(samples: Samples, loads: list[Load]) -> list[Row]:
    """The rows of every load, and what went wrong."""
    rows: list[Row] = []
    for load in loads:
        if load.name == "unloaded":
            rows += _unloaded_rows(samples)
        elif load.tokens:
            rows += _stream_rows(samples, load)
        else:
            rows += _request_rows(samples, load)
    return [*rows, *_trouble_rows(samples)]


def _trouble_rows(samples: Samples) -> list[Row]:
    """A figure means little if answers were errors; a stream that lost tokens is one."""
    troubles: dict[str, float] = defaultdict(float)
    for (name, _), taken in samples.items():
        troubles[name] += sum(s["errors"] for s in taken)
    rows = [
        Row(f"errors, {name}", count, "", "== 0" if name == "llmqueue" else None)
        for name, count in troubles.items()
    ]
    if measurable():
        worst = max(s["others_percent"] for taken in samples.values() for s in taken)
        rows.append(Row("CPU taken by other processes, worst", worst, "% of the machine"))
    return rows


def _unloaded_rows(samples: Samples) -> list[Row]:
    rows = []
    for name in _names(samples):
        value = _median(samples[name, "unloaded"], lambda s: s["p50_ms"])
        rows.append(Row(f"unloaded p50, {name}", value, "ms"))
    added = {
        name: _paired(samples, "unloaded", (name, "direct"), lambda a, b: a["p50_ms"] - b["p50_ms"])
        for name in _names(samples)
        if name != "direct"
    }
    rows += [Row(f"unloaded p50 added, {name}", median(v), "ms") for name, v in added.items()]
    if len(added) == 2:
        ratio = _ratio(added["llmqueue"], added["litellm"])
        rows.append(Row("unloaded p50 added / LiteLLM's", ratio, "x", "<= 0.6"))
    return rows


def _request_rows(samples: Samples, load: Load) -> list[Row]:
    connections = f"{load.connections} connections"
    rows = [
        Row(f"requests at {connections}, {name}", value, "1/s")
        for name, value in _medians(samples, load, "answers_per_second")
    ]
    goal = ">= 2" if load.connections == 32 else None
    return rows + _ratio_rows(samples, load, f"requests at {connections}", goal)


def _stream_rows(samples: Samples, load: Load) -> list[Row]:
    streams = f"{load.connections} streams"
    rows = [
        Row(f"tokens at {streams}, {name}", value, "1/s")
        for name, value in _medians(samples, load, "tokens_per_second")
    ]
    rows += [
        Row(f"first token {share} at {streams}, {name}", value, "ms")
        for share in ("p50", "p99")
        for name, value in _medians(samples, load, f"first_token_{share}_ms")
    ]
    goal = ">= 4" if load.connections == 300 else None
    return rows + _ratio_rows(samples, load, f"tokens at {streams}", goal)


def _ratio_rows(samples: Samples, load: Load, what: str, goal: str | None) -> list[Row]:
    """llmqueue over LiteLLM: the goal that is judged, and the final one in the unit."""
    if not {"llmqueue", "litellm"} <= set(_names(samples)):
        return []
    figure = "tokens_per_second" if load.tokens else "answers_per_second"
    ours, theirs = (
        [s[figure] for s in samples[name, load.name]] for name in ("llmqueue", "litellm")
    )
    return [Row(f"{what} / LiteLLM's", _ratio(ours, theirs), "x (final goal 10)", goal)]


def _ratio(ours: list[float], theirs: list[float]) -> float | None:
    """Median of the repetitions' ratios; None if the other side ever had nothing to show."""
    if min(theirs) <= 0:
        return None
    return median(a / b for a, b in zip(ours, theirs, strict=True))


def cpu_rows(samples: Samples, loads: list[Load]) -> list[Row]:
    """Where the time goes: CPU milliseconds by process, per request or per 1,000 tokens."""
    if not measurable():
        return []
    rows = []
    for load in loads:
        rate = "tokens_per_second" if load.tokens else "answers_per_second"
        unit, factor = ("ms/1000 tokens", 1000) if load.tokens else ("ms/request", 1)
        for name in _names(samples):
            taken = samples[name, load.name]
            for part in taken[0].cpu:
                value = median(s.cpu_ms_per(rate, part) for s in taken) * factor
                rows.append(Row(f"CPU at {load.name}, {name}: {part}", value, unit))
    return rows


def part_rows(what: str, figures: dict[str, dict[str, float]], unit: str) -> list[Row]:
    """A figure of each process, by contender; the endpoint is everybody's."""
    if not measurable():
        return []
    return [
        Row(f"{what}, {name}: {part}", value, unit)
        for name, parts in figures.items()
        for part, value in parts.items()
        if part != "endpoint"
    ]


def _names(samples: Samples) -> list[str]:
    """The contenders, in the order they were started."""
    return list(dict.fromkeys(name for name, _ in samples))


def _medians(samples: Samples, load: Load, figure: str) -> list[tuple[str, float]]:
    return [
        (name, _median(samples[name, load.name], lambda s: s[figure])) for name in _names(samples)
    ]


def _median(taken: list[Sample], value: Callable[[Sample], float]) -> float:
    return median(map(value, taken))


def _paired(
    samples: Samples,
    load: str,
    names: tuple[str, str],
    combine: Callable[[Sample, Sample], float],
) -> list[float]:
    """A figure of two contenders, combined within each repetition."""
    first, second = (samples[name, load] for name in names)
    return [combine(a, b) for a, b in zip(first, second, strict=True)]
