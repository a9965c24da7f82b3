"""Processes of a whole stack, tied to the test run: they die with it, whatever ends it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import psutil

from llmqueue_project.config import ROOT
from llmqueue_project.embedded import tether

STOP_SECONDS = 10.0


def start(
    command: Sequence[str], environment: Mapping[str, str], *, log: Path, watch: bool = False
) -> subprocess.Popen[bytes]:
    """Start a command; `watch` is for one that has children of its own."""
    # A web process takes its time to leave.
    options = ["--watch", "--grace", str(STOP_SECONDS - 1)] if watch else []
    with log.open("ab") as file:
        return subprocess.Popen(
            tether.tethered(list(command), options),
            env={**environment, tether.PARENT: str(os.getpid())},
            cwd=ROOT,
            stdout=file,
            stderr=file,
        )


def stop(processes: Iterable[subprocess.Popen[bytes]]) -> None:
    """Ask them all to end, then wait for each; the patience with each is limited."""
    running = [process for process in processes if process.poll() is None]
    for process in running:
        process.terminate()
    for process in running:
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def kill(process: subprocess.Popen[bytes]) -> None:
    """`kill -9` of a process and of all it started: nobody gets to say goodbye."""
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for member in family:
        member.send_signal(signal.SIGKILL)
    process.wait()
