"""What a change did to the unloaded path: this tree beside another commit's.

Both stacks run side by side and are asked in turn, so that a change of the machine's speed affects
both. The figures are medians of the turns' ratios.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

from benchmarks import report
from benchmarks.contenders import Contender
from benchmarks.measuring import Load, Sample, measure
from benchmarks.processes import ROOT, ProcessFailedError, measurable
from benchmarks.report import Row

Pairs = list[tuple[Sample, Sample]]


def main() -> int:
    options = _parser().parse_args()
    loads = [
        Load("unloaded", 1, warmup=0.5, seconds=15.0, calls=options.calls),
        Load("requests32", 32, warmup=0.5, seconds=3.0),
    ]
    with ExitStack() as stack:
        there = stack.enter_context(_tree(options.commit))
        _say(f"starting this tree and {options.commit}")
        ours, theirs = (stack.enter_context(_stack(tree)) for tree in (ROOT, there))
        rows = [
            row
            for load in loads
            for row in _rows(load, _turns(ours, theirs, load, options.repetitions), options.commit)
        ]
    title = f"This tree by {options.commit}, medians of {options.repetitions} turns"
    report.publish("against", rows, title=title)
    return 0


@contextmanager
def _tree(commit: str) -> Iterator[Path]:
    """Another commit's files, in a folder of their own."""
    command = ["git", "archive", "--format=tar", commit]
    try:
        archive = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    except FileNotFoundError:
        raise SystemExit(f"{commit}: this benchmark needs git") from None
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"{commit}: {error.stderr.decode().strip()}") from None
    with tempfile.TemporaryDirectory(prefix="llmqueue-tree-") as name:
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            files.extractall(name, filter="data")
        yield Path(name)


@contextmanager
def _stack(tree: Path) -> Iterator[Contender]:
    """llmqueue as that tree makes it.

    Raises:
        ProcessFailedError: it does not start.
    """
    program = Path(__file__).with_name("standing.py")
    process = subprocess.Popen(
        [sys.executable, "-P", str(program)],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": str(tree)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise ProcessFailedError(f"the stack of {tree} did not start")
        where = json.loads(line)
        yield Contender(tree.name, where["base_url"], where["api_key"], where["parts"])
    finally:
        process.stdin.close()
        process.wait()


def _turns(ours: Contender, theirs: Contender, load: Load, repetitions: int) -> Pairs:
    pairs: Pairs = []
    for turn in range(repetitions):
        order = (ours, theirs) if turn % 2 else (theirs, ours)
        samples = {contender.name: measure(contender, load) for contender in order}
        pairs.append((samples[ours.name], samples[theirs.name]))
        mine, other = (sample["p50_ms"] for sample in pairs[-1])
        _say(f"[{turn + 1}/{repetitions}] {load.name:10} p50 {mine:.2f} by {other:.2f} ms")
    return pairs


def _rows(load: Load, pairs: Pairs, commit: str) -> list[Row]:
    goal = "<= 1.05" if load.name == "unloaded" else None
    ratio = median(ours["p50_ms"] / theirs["p50_ms"] for ours, theirs in pairs)
    rows = [Row(f"{load.name} p50 / that of {commit}", ratio, "x", goal)]
    rows += [
        Row(f"{load.name} p50, {name}", median(s["p50_ms"] for s in samples), "ms")
        for name, samples in zip(("this tree", commit), zip(*pairs, strict=True), strict=True)
    ]
    if measurable():
        rows += _cpu_rows(load, pairs, commit)
    errors = sum(sample["errors"] for pair in pairs for sample in pair)
    return [*rows, Row(f"{load.name}, errors", errors, "", "== 0")]


def _cpu_rows(load: Load, pairs: Pairs, commit: str) -> list[Row]:
    parts = [part for part in pairs[0][0].cpu if part not in ("load", "endpoint")]
    found = []
    for part in parts:
        ours, theirs = (_cpu([pair[side] for pair in pairs], part) for side in (0, 1))
        found.append(Row(f"{load.name}, CPU of {part}", ours, "ms/request"))
        found.append(Row(f"{load.name}, CPU of {part}, {commit}", theirs, "ms/request"))
    return found


def _cpu(samples: Sequence[Sample], part: str) -> float:
    return median(sample.cpu_ms_per("answers_per_second", part) for sample in samples)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.against", description=__doc__)
    parser.add_argument("commit", help="what to compare with: anything that git can name")
    parser.add_argument("--repetitions", type=int, default=10)
    parser.add_argument("--calls", type=int, default=300, help="of a turn, unloaded")
    return parser


if __name__ == "__main__":
    sys.exit(main())
