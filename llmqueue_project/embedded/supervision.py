"""Who keeps the parts running? `supervisord`, as our child, configured by a private file.

Each part is started through `tether.py`, so that the death of supervisord, or ours, by
whatever signal leaves nothing behind.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, ServerProxy

import psutil
from supervisor.xmlrpc import SupervisorTransport

from llmqueue_project.config import ROOT
from llmqueue_project.embedded import tether
from llmqueue_project.embedded.errors import EmbeddedError, PartFailed
from llmqueue_project.embedded.programs import Program, supervisord_configuration
from llmqueue_project.embedded.state import State, write_private

# The lowest of the two limits of a unix socket's path (macOS 104), less the suffix that
# supervisord appends while it binds.
SOCKET_PATH_LIMIT = 104 - 12
STOP_ALL_SECONDS = 12.0
_STARTED = ("STARTING", "RUNNING")


@dataclass(frozen=True)
class Status:
    """What supervisord knows of a program."""

    name: str
    state: str
    started_at: int
    description: str

    @property
    def alive(self) -> bool:
        return self.state in _STARTED


class Supervisor:
    """The supervisord of one state directory."""

    def __init__(self, state: State, programs: Iterable[Program]) -> None:
        self._state = state
        self._programs = {program.name: program for program in programs}
        self._process: subprocess.Popen[bytes] | None = None
        self._socket = state.run / "supervisord.sock"
        self._temporary: tempfile.TemporaryDirectory[str] | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def names(self) -> list[str]:
        return list(self._programs)

    def start(self, environment: Mapping[str, str]) -> None:
        """Run supervisord; the parts inherit `environment`, secrets included."""
        if len(os.fsencode(self._socket)) > SOCKET_PATH_LIMIT:
            self._temporary = tempfile.TemporaryDirectory(prefix="llmqueue-")
            self._socket = Path(self._temporary.name) / "s"
        path = self._state.root / "supervisord.conf"
        write_private(
            path, supervisord_configuration(self._state, self._socket, self._programs.values())
        )
        command = [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", str(path)]
        with self._state.log("supervisord").open("ab") as log:
            self._process = subprocess.Popen(
                tether.tethered(command, ["--grace", str(STOP_ALL_SECONDS)]),
                cwd=ROOT,
                env={**environment, tether.PARENT: str(os.getpid())},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                # Ctrl-C is for the launcher, which stops the parts in order.
                start_new_session=True,
            )
        self._wait_until_it_answers()

    def _call(self, method: str, *arguments: Any) -> Any:
        """One remote call on a connection of its own: a broken one cannot be used again."""
        transport = SupervisorTransport(None, None, f"unix://{self._socket}")
        try:
            proxy = ServerProxy("http://127.0.0.1", transport=transport)
            return getattr(proxy.supervisor, method)(*arguments)
        finally:
            transport.close()

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + 15
        while True:
            try:
                self._call("getState")
            except OSError:
                if not self.running or time.monotonic() > deadline:
                    log = self._state.log("supervisord")
                    raise PartFailed("supervisord does not start", log) from None
                time.sleep(0.03)
            else:
                return

    def start_program(self, name: str) -> None:
        """Ask for a start; `status` tells what became of it."""
        program = self._programs[name]
        try:
            self._call("startProcess", f"{program.group}:{name}", False)
        except Fault as fault:
            raise PartFailed(
                f"{name} does not start: {fault.faultString}", self._state.log(name)
            ) from None

    def status(self) -> dict[str, Status]:
        """The state of every program.

        Raises:
            PartFailed: supervisord itself is gone.
        """
        try:
            rows = self._call("getAllProcessInfo")
        except OSError:
            log = self._state.log("supervisord")
            raise PartFailed(
                f"supervisord ended{self._cause()}, and all parts with it", log
            ) from None
        return {
            row["name"]: Status(row["name"], row["statename"], row["start"], row["description"])
            for row in rows
        }

    def _cause(self) -> str:
        assert self._process is not None
        try:
            status = self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            return " all answers"
        return f" by {signal.Signals(-status).name}" if status < 0 else f" with status {status}"

    def stop(self, timeout: float = STOP_ALL_SECONDS) -> None:
        """Stop the apps, then the services, then supervisord."""
        if self._process is None:
            return
        if self.running:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._temporary:
            self._temporary.cleanup()


def wait_for_previous(state: State, timeout: float = 15.0) -> None:
    """Let the supervisord of a launcher that was killed a moment ago finish stopping.

    Raises:
        EmbeddedError: it does not.
    """
    deadline = time.monotonic() + timeout
    while (pid := _previous(state)) is not None:
        if time.monotonic() > deadline:
            raise EmbeddedError(
                f"an earlier llmqueue on {state.root} is still stopping (process {pid}): "
                f"wait, or end it with `kill {pid}`."
            )
        time.sleep(0.1)


def _previous(state: State) -> int | None:
    try:
        pid = int((state.run / "supervisord.pid").read_text())
        ours = str(state.root / "supervisord.conf") in psutil.Process(pid).cmdline()
    except (OSError, ValueError, psutil.Error):
        return None
    return pid if ours else None
