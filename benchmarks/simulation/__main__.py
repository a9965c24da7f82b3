"""`make simulate`: the goals of scheduling in virtual time, or a question about capacity.

Without arguments: every goal, against every peer, in about two minutes. With any: waits, refusals
and slot use for that load, those slots, that trace and those policies.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llmqueue_project.settings_without_database")
django.setup()

from benchmarks import report, traces  # noqa: E402
from benchmarks.simulation import goals, scenarios, showing  # noqa: E402
from benchmarks.simulation.goals import Results  # noqa: E402
from benchmarks.simulation.jobs import Speed  # noqa: E402
from benchmarks.simulation.policies import FAIRNESS, POLICIES, Made  # noqa: E402
from benchmarks.simulation.scenarios import Progress, Scenario  # noqa: E402
from benchmarks.traces import Arrival  # noqa: E402

Makers = Mapping[str, Callable[[int], Made]]


def main(arguments: Sequence[str] | None = None) -> int:
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        return answer(given) if given else measure()
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2


def measure() -> int:
    """Every goal; 0 when all are met."""
    main_runs, floods = scenarios.main_scenarios(), scenarios.fairness_scenarios()
    progress = Progress(len(main_runs) * len(POLICIES) + len(floods) * len(FAIRNESS))
    levels = results(main_runs, POLICIES, progress)
    fairness = results(floods, FAIRNESS, progress)
    progress.end()
    slots = main_runs[0].slots
    print(
        f"\nWait in seconds, p50/p99, {slots} slots, Azure's chat trace\n\n{showing.waits(levels)}"
    )
    rows = goals.rows(levels, fairness, slots=slots)
    every = [*rows, *goals.wait_rows(levels)]
    report.publish("simulate", every, title="Scheduling in virtual time", shown=rows)
    subtitle = f"{slots} slots, recorded arrivals, the product's own policies; make simulate"
    draw("simulate", levels, fairness, subtitle=subtitle)
    missed = report.missed(rows)
    print(f"{len(missed)} goals missed" if missed else "every goal met")
    return 1 if missed else 0


def answer(given: Sequence[str]) -> int:
    """One question."""
    options = parser().parse_args(given)
    asked = [scenario(options, load) for load in options.load]
    chosen = {name: POLICIES[name] for name in options.policy}
    progress = Progress(len(asked) * len(chosen))
    found = results(asked, chosen, progress)
    progress.end()
    title = f"{options.slots} slots, wait in seconds, p50/p99"
    print(f"\n{title}\n\n{showing.waits(found)}\n")
    rows = list(goals.wait_rows(found))
    report.write("simulate-partial", rows)
    draw("simulate-partial", found, {}, subtitle=title)
    return 0


def results(asked: Sequence[Scenario], makers: Makers, progress: Progress) -> Results:
    return {
        each.name: {
            name: scenarios.run(each, make, progress=progress.of(f"{name} at {each.name}"))
            for name, make in makers.items()
        }
        for each in asked
    }


def draw(name: str, levels: Results, fairness: Results, *, subtitle: str) -> None:
    report.RESULTS.mkdir(exist_ok=True)
    path = report.RESULTS / f"{name}.svg"
    path.write_text(showing.picture(levels, fairness, subtitle=subtitle))
    print(f"drawn in {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")


def scenario(options: argparse.Namespace, load: float) -> Scenario:
    """What the options ask for, at one load."""
    trace = chosen_trace(options.trace)
    own = trace()
    has_levels = len({each.level for each in own}) > 1
    has_flows = any(each.flow for each in own)
    noisy = traces.noisy_flows(options.flows, noisy=options.noisy, share=options.noisy_share)
    return Scenario(
        f"{load:.0%}",
        load,
        trace=trace,
        slots=options.slots,
        hours=options.hours,
        flows={} if has_flows else noisy,
        mix={} if has_levels else traces.MIX,
        speed=Speed(options.read_per_second, options.written_per_second),
        seed=options.seed,
    )


def chosen_trace(name: str) -> Callable[[], Sequence[Arrival]]:
    """One of `traces.TRACES`, or a file."""
    if name in traces.TRACES:
        return traces.TRACES[name]
    arrivals = traces.from_file(Path(name))
    return lambda: arrivals


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    add = made.add_argument
    add("--load", type=positive, nargs="+", default=[1.0], help="offered work / capacity: 1.3")
    add("--slots", type=int, default=32, help="slots of all endpoints together")
    add("--hours", type=positive, help="repeat the trace for so long; default: once")
    add("--policy", nargs="+", choices=[*POLICIES], default=["llmqueue"], help="what to compare")
    add("--trace", default="azure-conversation", help=f"{', '.join(traces.TRACES)}, or a CSV file")
    add("--flows", type=int, default=scenarios.FLOWS, help="tenants, if the trace names none")
    add("--noisy", type=int, default=0, help="how many of them flood")
    add("--noisy-share", type=float, default=0.0, help="what these send together, 0 to 1")
    add("--read-per-second", type=positive, default=10_000.0, help="tokens, of one slot")
    add("--written-per-second", type=positive, default=50.0, help="tokens, of one slot")
    add("--seed", type=int, default=1)
    return made


def positive(text: str) -> float:
    if (value := float(text)) <= 0:
        raise argparse.ArgumentTypeError("must be above 0")
    return value


if __name__ == "__main__":
    raise SystemExit(main())
