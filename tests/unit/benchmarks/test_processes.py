"""Processes are started, read and ended with all their children."""

import os
import sys
import time
from pathlib import Path

import pytest

from benchmarks.processes import (
    Process,
    ProcessFailedError,
    cpu_seconds,
    measurable,
    memory_megabytes,
    tree,
)

BUSY = "x = 0\nwhile True: x += 1"


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.skipif(not measurable(), reason="needs /proc")
def test_cpu_and_memory_include_children_and_nothing_is_left(tmp_path: Path) -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"
    command = [sys.executable, "-c", code, BUSY]
    with Process("busy", command, log=tmp_path / "log", environment=dict(os.environ)) as process:
        deadline = time.monotonic() + 20
        while cpu_seconds(process.pid) < 0.3 and time.monotonic() < deadline:
            time.sleep(0.05)
        pids = tree(process.pid)

        assert len(pids) == 3
        assert cpu_seconds(process.pid) >= 0.3
        assert memory_megabytes(process.pid) > 1

    deadline = time.monotonic() + 5
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(alive, pids))


def test_a_process_that_ends_shows_its_log(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('no such luck')"]
    process = Process("brief", command, log=tmp_path / "log", environment=dict(os.environ))
    with process, pytest.raises(ProcessFailedError, match="no such luck"):
        process.wait_until_answering("http://127.0.0.1:9/", seconds=20)
