"""What the real runs came to, beside the oracle's figures for the same arrivals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from benchmarks.balancing.figures import ATTEMPTS_GOAL, GOALS
from benchmarks.balancing.plans import Plan, Window
from benchmarks.balancing.replaying import Record
from benchmarks.balancing.scenarios import DEFAULT, ORACLE, SLOTS, Figures
from benchmarks.balancing.simulation import Done
from benchmarks.report import Row

LATE_GOAL = "<= 20"
SIMULATED = "simulated"


@dataclass(frozen=True, slots=True)
class Run:
    """One profile's way through a plan.

    Attributes:
        calls: by endpoint, when calls ran on it, in seconds from the beginning.
        requests: calls that the endpoints saw, failed ones included.
        machine_busy: share of all cores' time that anybody used.
    """

    profile: str
    plan: Plan
    records: Sequence[Record]
    calls: Sequence[Sequence[tuple[float, float]]]
    requests: int
    machine_busy: float | None = None

    @property
    def errors(self) -> int:
        """Seen by clients: refusals, too."""
        return sum(bool(record.error) for record in self.records)

    @property
    def attempts(self) -> float:
        """Calls by requests."""
        return self.requests / max(1, len(self.records))

    def late_milliseconds(self) -> float:
        """p99 of how much too late clients began to send."""
        late = sorted(record.sent - record.arrival.ts for record in self.records)
        return 1000 * late[int(0.99 * len(late))] if late else 0.0

    def figures(self, window: Window) -> Figures:
        """Of what arrived in the window; what ended in an error took for ever."""
        done = [
            Done(r.arrival, float("inf") if r.error else r.answered - r.arrival.ts, 1, 0)
            for r in self.records
            if r.answered is not None
        ]
        return self.plan.figures(window, done, self.slots(window))

    def slots(self, window: Window, place: int | None = None) -> float:
        """Share of the slots that were in use during the window; of one endpoint, or of all."""
        chosen = self.calls if place is None else [self.calls[place]]
        used = sum(
            max(0.0, min(ended, window.ends) - max(began, window.begins))
            for calls in chosen
            for began, ended in calls
        )
        return used / ((window.ends - window.begins) * SLOTS * len(chosen))


def rows(runs: Sequence[Run]) -> list[Row]:
    """Everything, what has a goal first."""
    found = [row for run in runs for row in _rows(run)]
    found.append(Row("errors seen by clients", sum(run.errors for run in runs), "", "== 0"))
    busy = [run.machine_busy for run in runs if run.machine_busy is not None]
    if busy:
        found.append(Row("CPU of the machine, most busy run", 100 * max(busy), "%"))
    late = max((run.late_milliseconds() for run in runs), default=0.0)
    found.append(Row("sent late, p99 of the worst run", late, "ms", LATE_GOAL))
    return sorted(found, key=lambda row: row.goal is None)


def _rows(run: Run) -> list[Row]:
    found = []
    for window in run.plan.windows:
        ours, name = run.figures(window), f"{window.name}, {run.plan.load:.0%}: {run.profile}"
        found += [
            Row(f"{name} p50", ours.p50, "s"),
            Row(f"{name} p99", ours.p99, "s"),
            Row(f"{name} p99.9", ours.p999, "s"),
            Row(f"{name} goodput", ours.goodput, "%", _goodput_goal(run, window)),
            Row(f"{name} slots in use", ours.slots, "%"),
            *(
                Row(f"{name} slots in use on e{n}", 100 * run.slots(window, n), "%")
                for n in range(len(run.calls))
            ),
        ]
        if window.name == "failing":
            goal = ATTEMPTS_GOAL if run.profile == DEFAULT else None
            found.append(Row(f"{name} attempts", run.attempts, "", goal))
            continue
        for other, label in ((ORACLE, ORACLE), (run.profile, SIMULATED)):
            peer = _simulated(run.plan, other)[window.name]
            goal = _ratio_goal(run, window) if other == ORACLE else None
            found += [
                Row(f"{name} p50 / {label}", ours.p50 / peer.p50, ""),
                Row(f"{name} p99 / {label}", ours.p99 / peer.p99, "", goal),
                Row(f"{name} p99.9 / {label}", ours.p999 / peer.p999, ""),
                Row(f"{name} goodput, {label}", peer.goodput, "%"),
            ]
    return found


def _ratio_goal(run: Run, window: Window) -> str | None:
    if run.profile != DEFAULT:
        return None
    return GOALS.get((window.name, run.plan.load), (None, None))[0]


def _goodput_goal(run: Run, window: Window) -> str | None:
    if run.profile != DEFAULT:
        return None
    return GOALS.get((window.name, run.plan.load), (None, None))[1]


def tables(runs: Sequence[Run]) -> str:
    """One table a condition and load: profiles on real workers, then the oracle."""
    groups: dict[tuple[str, float], list[tuple[str, Figures, float | None]]] = {}
    for run in runs:
        for window in run.plan.windows:
            lines = groups.setdefault((window.name, run.plan.load), [])
            lines.append((run.profile, run.figures(window), run.attempts))
    for run in runs:
        for window in run.plan.windows:
            lines = groups[window.name, run.plan.load]
            if window.name == "failing" or any(name.startswith(ORACLE) for name, *_ in lines):
                continue
            for policy in (DEFAULT, ORACLE):
                label = policy if policy == ORACLE else f"{policy}, {SIMULATED}"
                lines.append((label, _simulated(run.plan, policy)[window.name], None))
    return "\n\n".join(_table(*key, lines) for key, lines in groups.items())


def _table(condition: str, load: float, lines: Sequence[tuple[str, Figures, float | None]]) -> str:
    head = ("p50 s", "p99 s", "p99.9 s", "goodput %", "slots %", "attempts")
    text = [f"{f'{condition}, {load:.0%} load':36}" + "".join(f"{name:>11}" for name in head)]
    for name, found, attempts in lines:
        values = [f"{found.p50:.3f}", f"{found.p99:.2f}", f"{found.p999:.2f}"]
        values += [f"{found.goodput:.1f}", f"{found.slots:.0f}"]
        values.append("" if attempts is None else f"{attempts:.3f}")
        text.append((f"{name:36}" + "".join(f"{value:>11}" for value in values)).rstrip())
    return "\n".join(text)


@cache
def _simulated(plan: Plan, policy: str) -> dict[str, Figures]:
    return plan.simulated(policy)
