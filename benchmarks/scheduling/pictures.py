"""Wait by level over time, for each contender at each load, as one SVG."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks import drawing
from benchmarks.drawing import Bars, Chart, Line, Lines
from benchmarks.load import percentile
from benchmarks.scheduling import measures
from benchmarks.scheduling.records import Run
from scheduling.levels import LEVELS

COLUMNS = 3
LEAST_SECONDS = 0.001


def picture(runs: Sequence[Run]) -> str:
    chats = [run for run in runs if run.scenario.name.startswith("chat")]
    charts: list[Chart] = [_waits(run) for run in chats]
    compression = runs[0].scenario.compression
    charts += [_realtime(chats, compression.unit_seconds), *_victims(runs)]
    subtitle = (
        "The same arrivals on real PostgreSQL, Valkey and Celery workers; "
        f"median wait of what was sent in each second, compressed {compression.times:.0f} times"
    )
    return drawing.picture(
        charts, title="Wait by level", subtitle=subtitle, columns=min(COLUMNS, len(charts))
    )


def _waits(run: Run) -> Lines:
    return Lines(
        title=f"{run.contender}, {run.scenario.percent} % load",
        x="sent after, s",
        y="wait, s",
        lines=[Line(level, measures.over_time(run, level)) for level in LEVELS],
        log=True,
        least=LEAST_SECONDS,
    )


def _realtime(runs: Sequence[Run], unit_seconds: float) -> Bars:
    loads = sorted({run.scenario.percent for run in runs})
    bars: dict[str, list[float | None]] = {}
    for run in runs:
        row = bars.setdefault(run.contender, [None] * len(loads))
        row[loads.index(run.scenario.percent)] = measures.wait_at(run, "realtime", 0.99)
    return Bars(
        title="realtime p99 wait by load",
        y="wait, s",
        groups=[f"{load} %" for load in loads],
        bars=bars,
        limits={"goal: 6 x service / slots": 6 * unit_seconds},
        log=True,
        least=LEAST_SECONDS * 10,
    )


def _victims(runs: Sequence[Run]) -> list[Chart]:
    floods = [run for run in runs if run.scenario.name.startswith("tenants")]
    if not floods:
        return []
    names = measures.victims(floods[0].scenario)
    lines = []
    for run in floods:
        p99 = sorted(percentile(run.waits(run.of_flow(name)), 0.99) for name in names)
        lines.append(Line(run.contender, [(float(n + 1), wait) for n, wait in enumerate(p99)]))
    return [
        Lines(
            title=f"victims' p99 wait, tenants at {floods[0].scenario.percent} % load",
            x="tenants within their share, best first",
            y="wait, s",
            lines=lines,
            log=True,
            least=LEAST_SECONDS * 10,
        )
    ]
