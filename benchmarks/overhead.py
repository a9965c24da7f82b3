"""What llmqueue costs a request, side by side with LiteLLM's proxy: `make bench-overhead`.

Every repetition measures each contender in turn, so that a change of the machine's speed affects
both. Figures are medians over repetitions; ratios are taken within one.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path

from benchmarks import command, report
from benchmarks.contenders import Contender, fake_endpoint
from benchmarks.measuring import Load, Sample, idle_percent, measure
from benchmarks.overhead_figures import Samples, cpu_rows, figures, part_rows
from benchmarks.peer_litellm import install, litellm
from benchmarks.processes import memory_megabytes
from benchmarks.report import Row
from benchmarks.stack import Shape, llmqueue

SETTLE_SECONDS = 1.0
IDLE_SECONDS = 3.0
BUSY_PERCENT = 15.0
"""Above it figures say more about the neighbours than about the contenders."""
STREAM_TOKENS = 100
"""At 50 tokens a second a stream lasts two seconds: many first tokens in a window."""


def main() -> int:
    options = _parser().parse_args()
    options.repetitions = options.repetitions or (1 if options.quick else 3)
    return command.run(lambda: _measured(options))


def _measured(options: argparse.Namespace) -> int:
    rows = _benchmark(options)
    partial = options.only or options.skip_litellm or options.skip_llmqueue
    report.publish("overhead-partial" if partial else "overhead", rows, title=_title(options))
    return 0


def _benchmark(options: argparse.Namespace) -> list[Row]:
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="llmqueue-bench-")))
        contenders = _start(stack, directory, options)
        loads = _loads(options)
        idle = {c.name: idle_percent(c, seconds=IDLE_SECONDS) for c in contenders}
        samples: Samples = defaultdict(list)
        for repetition in range(options.repetitions):
            for load in loads:
                turn = f"{repetition + 1}/{options.repetitions}"
                _turn(samples, _rotated(contenders, repetition), load, turn)
        memory = {c.name: _memory(c) for c in contenders}
    processes = [*part_rows("idle CPU", idle, "% of a core"), *part_rows("memory", memory, "MB")]
    return [*figures(samples, loads), *cpu_rows(samples, loads), *processes]


def _start(stack: ExitStack, directory: Path, options: argparse.Namespace) -> list[Contender]:
    if not options.skip_litellm:
        install()
    _say("starting the endpoint")
    endpoint = stack.enter_context(fake_endpoint(directory))
    contenders = [endpoint]
    if not options.skip_llmqueue:
        _say("starting PostgreSQL, Valkey, web and worker")
        slots = max(options.slots, options.saturation + options.saturation // 10)
        shape = Shape(options.web, options.workers, slots, options.gear)
        contenders.append(stack.enter_context(llmqueue(directory, endpoint, shape)))
    if not options.skip_litellm:
        _say("starting LiteLLM")
        contenders.append(stack.enter_context(litellm(directory, endpoint)))
    return contenders


def _loads(options: argparse.Namespace) -> list[Load]:
    """The measurements of one repetition."""
    seconds, calls = (2.0, options.calls or 100) if options.quick else (5.0, options.calls or 300)
    warmup, window = (3.0, 4.0) if options.quick else (6.0, 10.0)
    loads = [
        Load("unloaded", 1, warmup=1.0, seconds=15.0, calls=calls),
        Load("requests32", 32, warmup=1.0, seconds=seconds, calls=options.calls),
        Load("requests128", 128, warmup=1.0, seconds=seconds, calls=options.calls),
        Load("streams300", 300, warmup=warmup, seconds=window, tokens=STREAM_TOKENS),
    ]
    if options.saturation:
        many = options.saturation
        loads.append(Load("saturation", many, warmup=warmup, seconds=window, tokens=STREAM_TOKENS))
    return [load for load in loads if not options.only or load.name in options.only]


def _turn(samples: Samples, contenders: list[Contender], load: Load, turn: str) -> None:
    """One measurement of each contender."""
    for contender in contenders:
        time.sleep(SETTLE_SECONDS)
        sample = measure(contender, load)
        samples[contender.name, load.name].append(sample)
        _say(f"[{turn}] {load.name:12} {contender.name:9} {_summary(sample, load)}")


def _rotated(contenders: list[Contender], by: int) -> list[Contender]:
    """Everybody is first once: what follows LiteLLM finds a warmer machine."""
    start = by % len(contenders)
    return contenders[start:] + contenders[:start]


def _summary(sample: Sample, load: Load) -> str:
    suffix = f"  ERRORS {sample['errors']:.0f}" if sample["errors"] else ""
    if sample["others_percent"] > BUSY_PERCENT:
        suffix += f"  MACHINE BUSY: {sample['others_percent']:.0f} % is taken by others"
    if load.tokens:
        first = f"first token p50 {sample['first_token_p50_ms']:,.0f} ms"
        return f"{sample['tokens_per_second']:9,.0f} tokens/s  {first}{suffix}"
    return f"{sample['answers_per_second']:9,.0f} requests/s  p50 {sample['p50_ms']:.2f} ms{suffix}"


def _memory(contender: Contender) -> dict[str, float]:
    return {part: memory_megabytes(pid) for part, pid in contender.parts.items()}


def _title(options: argparse.Namespace) -> str:
    shape = f"{options.web} web and {options.workers} worker processes"
    return f"Overhead of llmqueue ({shape}), median of {options.repetitions} repetitions"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short repetition")
    parser.add_argument("--calls", type=int, default=0, help="end a measurement of whole answers")
    parser.add_argument("--repetitions", type=int, default=0, help="default 3, quick 1")
    parser.add_argument("--skip-litellm", action="store_true", help="llmqueue alone")
    parser.add_argument("--skip-llmqueue", action="store_true", help="LiteLLM alone")
    parser.add_argument("--web", type=int, default=1, help="web processes")
    parser.add_argument("--workers", type=int, default=1, help="worker processes")
    parser.add_argument("--slots", type=int, default=320, help="of a worker and of the endpoint")
    parser.add_argument("--gear", choices=["task", "direct"], help="default: the project's")
    parser.add_argument("--saturation", type=int, default=0, help="also so many streams")
    names = ["unloaded", "requests32", "requests128", "streams300", "saturation"]
    parser.add_argument("--only", nargs="+", choices=names, help="these measurements")
    return parser


if __name__ == "__main__":
    sys.exit(main())
