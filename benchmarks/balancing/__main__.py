"""Every balancing profile beside an oracle, in virtual time: `make bench-balancing`.

Real workers over slow and failing endpoints are the other half, and a module of their own.
"""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from benchmarks import report
from benchmarks.balancing.figures import Results, goals, picture, rows, tables
from benchmarks.balancing.scenarios import Case, Figures, cases


def main() -> int:
    options = _parser().parse_args()
    began = time.monotonic()
    results = _run(cases(), options.processes)
    print(f"\n{tables(results)}")
    title = f"Balancing, simulated in {time.monotonic() - began:.0f} s"
    report.publish("balancing", rows(results), title=title, shown=goals(results))
    (report.RESULTS / "balancing.svg").write_text(picture(results))
    return 1 if report.missed(goals(results)) else 0


def _run(all_cases: list[Case], processes: int) -> Results:
    results: dict[Case, Figures] = {}
    with ProcessPoolExecutor(processes) as executor:
        for case, figures in zip(all_cases, executor.map(Case.run, all_cases), strict=True):
            results[case] = figures
            print(
                f"[{len(results):3}/{len(all_cases)}] {case.condition:13} {case.load:.0%} "
                f"{case.policy:36} p50 {figures.p50:6.2f} s  p99 {figures.p99:6.1f} s",
                flush=True,
            )
    return results


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench-balancing", description=__doc__)
    parser.add_argument("--processes", type=int, default=2, help="cases that run at once")
    return parser


if __name__ == "__main__":
    sys.exit(main())
