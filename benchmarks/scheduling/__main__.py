"""Who waits how long, on real servers and workers: `make bench-scheduling`.

Recorded arrivals are replayed, compressed in time, against llmqueue, against the same processes
as a plain FIFO, and against stock Celery, one after the other for each load.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from benchmarks import command, report
from benchmarks.contenders import Contender, fake_endpoint
from benchmarks.processes import (
    cpu_seconds,
    machine_cpu_seconds,
    measurable,
)
from benchmarks.scheduling import contenders, goals, pictures, plan
from benchmarks.scheduling.contenders import FIFO, PRODUCT, STOCK, Journal, Peer
from benchmarks.scheduling.plan import Compression, Scenario
from benchmarks.scheduling.records import Run

ALL = (PRODUCT, FIFO, STOCK)
WARM_UP_SECONDS = 2.0
CUT_FROM = 1.5
"""At this load and above it peers are not waited for: their backlog would take as long again."""


def main() -> int:
    options = _parser().parse_args()
    return command.run(lambda: _published(options))


def _published(options: argparse.Namespace) -> int:
    began = time.monotonic()
    runs = _benchmark(options)
    _publish(runs, options, seconds=time.monotonic() - began)
    return 0


def _benchmark(options: argparse.Namespace) -> list[Run]:
    scenarios = _scenarios(options)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="llmqueue-bench-")))
        endpoint = stack.enter_context(fake_endpoint(directory))
        peers = _start(stack, directory, endpoint, scenarios)
        runs = []
        for place, scenario in enumerate(scenarios):
            for name in scenario.contenders:
                say = partial(_say, f"[{place + 1}/{len(scenarios)}] {scenario.name:13} {name:12}")
                runs.append(_measured(peers[name], scenario, say))
        return runs


def _start(
    stack: ExitStack, directory: Path, endpoint: Contender, scenarios: list[Scenario]
) -> dict[str, Peer]:
    journal = Journal(endpoint)
    wanted = {name for scenario in scenarios for name in scenario.contenders}
    tenants = sorted({flow for scenario in scenarios for flow in plan.flows(scenario)})
    peers: dict[str, Peer] = {}
    if PRODUCT in wanted:
        _say("", "starting llmqueue")
        compression = scenarios[0].compression
        made = contenders.product(directory, endpoint, journal, tenants, compression)
        peers[PRODUCT] = stack.enter_context(made)
    if FIFO in wanted:
        _say("", "starting llmqueue as FIFO")
        peers[FIFO] = stack.enter_context(contenders.fifo(directory, endpoint, journal))
    if STOCK in wanted:
        _say("", "starting stock Celery")
        peers[STOCK] = stack.enter_context(contenders.stock_celery(directory, endpoint, journal))
    journal.take()
    for name, peer in peers.items():
        warm_up = plan.chat(
            1.0, WARM_UP_SECONDS, contenders=[name], compression=scenarios[0].compression
        )
        peer.run(warm_up, cut=False, say=lambda _: None)
    return peers


def _measured(peer: Peer, scenario: Scenario, say: contenders.Say) -> Run:
    cut = scenario.load >= CUT_FROM and peer.name != PRODUCT
    before, machine, began = _cpu(peer), _machine_cpu(), time.monotonic()
    run = peer.run(scenario, cut=cut, say=say)
    run.seconds = time.monotonic() - began
    after = _cpu(peer)
    run.cpu = {part: after[part] - before[part] for part in after}
    if run.cpu:
        others = _machine_cpu() - machine - sum(run.cpu.values())
        run.others_percent = max(0.0, 100 * others / run.seconds / (os.cpu_count() or 1))
    refused = sum(record.refused for record in run.records)
    say(f"done in {run.seconds:.0f} s, {refused:,} refused, {run.errors} errors")
    return run


def _cpu(peer: Peer) -> dict[str, float]:
    if not measurable():
        return {}
    parts = {part: cpu_seconds(pid) for part, pid in peer.parts.items()}
    return parts | {"clients": time.process_time()}


def _machine_cpu() -> float:
    return machine_cpu_seconds() if measurable() else 0.0


def _scenarios(options: argparse.Namespace) -> list[Scenario]:
    """So long that low's limit can bind at 200 %, that answers are learned, and to count then."""
    chat = {0.95: 20.0, 1.3: 30.0, 2.0: 90.0}
    flood = 90.0
    if options.quick:
        chat, flood = {1.3: 14.0, 2.0: 14.0}, 14.0
    slower = Compression(options.slower)
    found = [
        plan.chat(
            load, seconds * slower.slower, contenders=_among(ALL, options), compression=slower
        )
        for load, seconds in chat.items()
    ]
    two = _among((PRODUCT, FIFO), options)
    found.append(plan.tenants(1.5, flood * slower.slower, contenders=two, compression=slower))
    return [
        each for each in found if not options.only or each.name.replace(" ", "") in options.only
    ]


def _among(names: tuple[str, ...], options: argparse.Namespace) -> list[str]:
    return [name for name in names if not options.contenders or name in options.contenders]


def _publish(runs: list[Run], options: argparse.Namespace, *, seconds: float) -> None:
    rows = goals.rows(runs)
    print(f"\nWait in seconds, p50/p99 (+: at least, cut off)\n\n{goals.wait_table(runs)}")
    partial_ = options.slower != 1 or options.quick or options.only or options.contenders
    name = "scheduling-partial" if partial_ else "scheduling"
    title = _title(Compression(options.slower), seconds)
    report.publish(name, rows, title=title, shown=goals.shown(rows))
    path = report.RESULTS / f"{name}.svg"
    path.write_text(pictures.picture(runs))
    print(f"picture in {path.name}")


def _title(compression: Compression, seconds: float) -> str:
    milliseconds = compression.service_seconds * 1000
    return (
        f"Scheduling on real workers, {plan.SLOTS} slots of {milliseconds:.0f} ms; "
        f"{seconds / 60:.1f} minutes"
    )


def _say(who: str, text: str) -> None:
    print(f"{who} {text}".strip(), file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scheduling", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short runs at 130 and 200 %%")
    parser.add_argument("--contenders", nargs="+", choices=ALL, help="these only")
    parser.add_argument("--slower", type=float, default=1.0, help="times: longer service, fewer")
    names = ["chat95%", "chat130%", "chat200%", "tenants150%"]
    parser.add_argument("--only", nargs="+", choices=names, help="these scenarios")
    return parser


if __name__ == "__main__":
    sys.exit(main())
