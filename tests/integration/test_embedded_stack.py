"""`python -m llmqueue_project.embedded up`, as a person, an init system and `kill -9` use it."""

from __future__ import annotations

import json
import os
import shlex
import signal
import stat
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import psutil
import pytest

from llmqueue_project.config import ROOT
from llmqueue_project.embedded import home
from llmqueue_project.embedded.console import tail
from llmqueue_project.embedded.state import State

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
START_SECONDS, STOP_SECONDS = 120.0, 10.0
REPLACED = ("DATABASE_URL", "REDIS_URL", "LLM_BASE_URL", "LLMQUEUE_TETHERED_TO")


class Launcher:
    """The command on one state directory, started and ended many times."""

    def __init__(self, folder: Path) -> None:
        self.state = State(folder)
        self.output = folder.parent / f"{folder.name}.out"
        self.environment = {
            **{name: value for name, value in os.environ.items() if name not in REPLACED},
            "LLMQUEUE_STATE_DIR": str(folder),
            "LLM": "fake",
        }
        self.process: subprocess.Popen[bytes] | None = None

    def command(self, name: str) -> subprocess.CompletedProcess[str]:
        """Run to its end."""
        return subprocess.run(
            [sys.executable, "-m", "llmqueue_project.embedded", name],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=False,
        )

    def up(self) -> None:
        """Start it if it does not run, and wait for its URLs."""
        if self.process is not None and self.process.poll() is None:
            return
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "llmqueue_project.embedded", "up"],
                cwd=ROOT,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + START_SECONDS
        while "Ctrl-C stops it" not in self.output.read_text():
            assert self.process.poll() is None, tail(self.output, 60)
            assert time.monotonic() < deadline, tail(self.output, 60)
            time.sleep(0.1)

    @property
    def head(self) -> psutil.Process:
        assert self.process is not None
        return psutil.Process(self.process.pid)

    def family(self) -> list[psutil.Process]:
        return [self.head, *self.head.children(recursive=True)]

    def supervisord(self) -> psutil.Process:
        (child,) = (one for one in self.head.children() if "supervisord" in " ".join(one.cmdline()))
        return child

    def exports(self) -> dict[str, str]:
        words = shlex.split(self.state.env.read_text())
        return dict(word.split("=", 1) for word in words if "=" in word)

    def call(self, path: str, document: dict[str, Any] | None = None) -> dict[str, Any]:
        exports = self.exports()
        request = urllib.request.Request(
            exports["LLMQUEUE_URL"] + path,
            data=json.dumps(document).encode() if document else None,
            headers={
                "Authorization": f"Bearer {exports['LLMQUEUE_API_KEY']}",
                "Content-Type": "application/json",
            },
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            answer: dict[str, Any] = json.load(response)
        return answer

    def wait(self) -> int:
        """Its exit status. Before anybody else waits for it: that takes the status away."""
        assert self.process is not None
        return self.process.wait(timeout=30)

    def stop(self) -> int:
        self.head.terminate()
        return self.wait()


@pytest.fixture(scope="module")
def launcher() -> Iterator[Launcher]:
    folder = Path(mkdtemp(prefix="llmqueue-test-"))
    made = Launcher(folder / "state")
    try:
        yield made
    finally:
        if made.process is not None and made.process.poll() is None:
            made.stop()
        home.erase(made.state)
        made.output.unlink()
        folder.rmdir()


@pytest.fixture(autouse=True, scope="module")
def _folder_that_every_account_may_enter(launcher: Launcher) -> None:
    launcher.state.root.parent.chmod(0o711)


def wait_until_gone(processes: list[psutil.Process], seconds: float) -> None:
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    left = [" ".join(one.cmdline()) for one in alive if one.status() != psutil.STATUS_ZOMBIE]
    assert left == []


def test_the_env_file_is_private_and_enough_for_a_shell(launcher: Launcher) -> None:
    launcher.up()

    assert stat.S_IMODE(launcher.state.env.stat().st_mode) == 0o600
    script = (
        f'. {shlex.quote(str(launcher.state.env))}; env | grep -E "^(LLMQUEUE|DATABASE|REDIS|F)"'
    )
    output = subprocess.check_output(["/bin/sh", "-c", script], env={}, text=True)
    names = {line.partition("=")[0] for line in output.splitlines()}
    assert names >= {
        *("LLMQUEUE_URL", "LLMQUEUE_API_KEY", "LLMQUEUE_ADMIN_USER", "LLMQUEUE_ADMIN_PASSWORD"),
        *("DATABASE_URL", "REDIS_URL", "FLOWER_URL"),
    }
    assert launcher.call("/v1/models")["data"][0]["id"] == "fake"


def test_no_secret_is_on_a_command_line(launcher: Launcher) -> None:
    launcher.up()

    secrets = launcher.state.secrets()
    for process in launcher.family():
        line = " ".join(process.cmdline())
        assert not [
            name for name, value in secrets.items() if value in line and name != "admin_user"
        ]


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user has nothing to drop")
def test_as_root_the_servers_run_unprivileged(launcher: Launcher) -> None:
    launcher.up()

    servers = [one for one in launcher.family() if one.name().startswith(("postgres", "valkey"))]
    assert servers
    assert all(0 not in one.uids() for one in servers)


def test_a_second_one_on_the_same_directory_is_told_so(launcher: Launcher) -> None:
    launcher.up()

    second = launcher.command("up")

    assert second.returncode == 1
    assert "already runs" in second.stderr
    assert "LLMQUEUE_STATE_DIR" in second.stderr


def test_the_demonstration_uses_what_runs_and_leaves_it_running(launcher: Launcher) -> None:
    launcher.up()

    demonstration = launcher.command("demo")

    assert demonstration.returncode == 0, demonstration.stdout + demonstration.stderr
    assert "it passed" in demonstration.stdout
    assert launcher.call("/v1/models")


def test_a_killed_web_process_comes_back_and_leaves_no_workers(launcher: Launcher) -> None:
    launcher.up()
    web = [one for one in launcher.family() if "granian" in " ".join(one.cmdline())]
    # The tether, granian, and granian's own workers.
    (main,) = (one for one in web if one.parent() in web and one.children())

    main.kill()

    wait_until_gone(web, STOP_SECONDS)
    deadline = time.monotonic() + 60
    while True:
        try:
            assert launcher.call("/v1/models")
            break
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.2)


def test_a_stopped_stack_leaves_no_process_and_keeps_its_data(launcher: Launcher) -> None:
    launcher.up()
    document = {"user_id": "somebody", "content": "Remember this."}
    message = launcher.call("/api/v1/messages", document)["data"]["id"]
    before, family = launcher.exports(), launcher.family()

    began = time.monotonic()
    status = launcher.stop()

    assert status == 0
    assert time.monotonic() - began < STOP_SECONDS
    wait_until_gone(family, 1.0)
    launcher.up()
    assert launcher.exports() == before
    assert launcher.call(f"/api/v1/messages/{message}")["data"]["content"] == "Remember this."


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_ctrl_c_and_a_closed_terminal_end_it_in_order(
    launcher: Launcher, number: signal.Signals
) -> None:
    launcher.up()
    family = launcher.family()

    launcher.head.send_signal(number)

    assert launcher.wait() == 0
    wait_until_gone(family, 1.0)


def test_kill_9_of_the_launcher_leaves_no_orphan(launcher: Launcher) -> None:
    launcher.up()
    family = launcher.family()

    launcher.head.kill()

    assert launcher.wait() == -signal.SIGKILL
    # A new one waits for the rest of the old to stop.
    launcher.up()
    wait_until_gone(family, 1.0)


def test_kill_9_of_supervisord_leaves_no_orphan_and_is_reported(launcher: Launcher) -> None:
    launcher.up()
    family = launcher.family()

    launcher.supervisord().kill()

    assert launcher.wait() == 1
    wait_until_gone(family, STOP_SECONDS)
    assert "supervisord ended" in launcher.output.read_text()
