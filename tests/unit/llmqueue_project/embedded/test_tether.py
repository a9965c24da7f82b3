"""The tether as its users see it: real processes, killed without mercy."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from llmqueue_project.embedded import tether

PRINT_ENVIRONMENT = "import os, json; print(json.dumps(dict(os.environ)))"
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel's part")


def environment(**extra: str) -> dict[str, str]:
    return {**os.environ, tether.PARENT: str(os.getpid()), **extra}


def wait_until(check: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def gone(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def tethered_sleep(tmp_path: Path, *options: str) -> tuple[subprocess.Popen[bytes], int]:
    """A parent whose tethered child sleeps; the parent and the pid of the sleeper."""
    note = tmp_path / "pid"
    command = ["/bin/sh", "-c", f"echo $$ > {note}.new; mv {note}.new {note}; sleep 60 & wait"]
    line = tether.tethered(command, list(options))
    script = (
        "import os, subprocess;"
        f"os.environ[{tether.PARENT!r}] = str(os.getpid());"
        f"subprocess.Popen({line!r}).wait()"
    )
    parent = subprocess.Popen([sys.executable, "-c", script])
    wait_until(note.exists)
    return parent, int(note.read_text())


def test_the_exit_status_is_the_programs() -> None:
    for options in ([], ["--watch"]):
        line = tether.tethered(["/bin/sh", "-c", "exit 7"], options)

        assert subprocess.run(line, env=environment(), check=False).returncode == 7


def test_a_bare_program_sees_no_secrets_but_those_kept() -> None:
    line = tether.tethered(
        [sys.executable, "-c", PRINT_ENVIRONMENT], ["--bare", "--keep", "WANTED"]
    )

    output = subprocess.check_output(line, env=environment(SECRET="s3cret", WANTED="yes"))

    assert b"s3cret" not in output
    assert b'"WANTED": "yes"' in output


def test_it_does_not_start_for_a_parent_that_is_gone() -> None:
    line = tether.tethered(["/bin/sh", "-c", "echo started"])

    finished = subprocess.run(
        line, env=environment(**{tether.PARENT: "1"}), capture_output=True, check=False
    )

    assert finished.returncode == 1
    assert finished.stdout == b""


def children_of(pid: int) -> list[psutil.Process]:
    wait_until(lambda: bool(psutil.Process(pid).children()))
    return list(psutil.Process(pid).children())


@LINUX
def test_the_program_dies_with_its_parent(tmp_path: Path) -> None:
    parent, pid = tethered_sleep(tmp_path)

    parent.kill()
    parent.wait()

    wait_until(lambda: gone(pid))


def test_a_watched_group_dies_with_the_parent(tmp_path: Path) -> None:
    parent, pid = tethered_sleep(tmp_path, "--watch")
    family = children_of(pid)

    parent.kill()
    parent.wait()

    wait_until(lambda: gone(pid))
    for member in family:
        wait_until(lambda pid=member.pid: gone(pid))  # type: ignore[misc]


def test_what_a_killed_program_leaves_behind_is_ended(tmp_path: Path) -> None:
    parent, pid = tethered_sleep(tmp_path, "--watch")
    family = children_of(pid)

    os.kill(pid, signal.SIGKILL)

    parent.wait(timeout=10)
    for member in family:
        wait_until(lambda pid=member.pid: gone(pid))  # type: ignore[misc]


def test_a_watching_tether_passes_signals_on() -> None:
    script = (
        "import signal, sys;"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(3));"
        "print('ready', flush=True); signal.pause()"
    )
    line = tether.tethered([sys.executable, "-c", script], ["--watch"])
    with subprocess.Popen(line, env=environment(), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"

        process.terminate()

        assert process.wait(timeout=10) == 3


def test_a_program_that_ignores_its_end_is_ended_by_force() -> None:
    script = (
        "import signal, time;"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
    )
    line = tether.tethered([sys.executable, "-c", script], ["--watch"])
    with subprocess.Popen(line, env=environment(), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"

        process.terminate()

        assert process.wait(timeout=tether.GRACE_SECONDS + 5) == 128 + signal.SIGKILL


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_root_becomes_the_account_before_the_program_starts() -> None:
    line = tether.tethered(["/bin/sh", "-c", "id -u; id -G"], ["--user", "65534:65534"])

    output = subprocess.check_output(line, env=environment(), cwd="/")

    assert output.split() == [b"65534", b"65534"]
