"""PostgreSQL and Valkey alone, without supervisor: what tests and benchmarks run against.

    with Services() as services:
        services.database_url, services.redis_url
        services.valkey.restart(down_seconds=2)

Both die with the process that started them, whatever ends it. The kernel watches the thread that
forked: start them from a thread that lives as long as they should.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import psycopg
import redis

from llmqueue_project.embedded import home, ports, tether
from llmqueue_project.embedded.accounts import Account, service_account
from llmqueue_project.embedded.errors import PartFailed
from llmqueue_project.embedded.postgres import Postgres
from llmqueue_project.embedded.state import State
from llmqueue_project.embedded.valkey import Valkey

READY_SECONDS = 30.0
POLL_SECONDS = 0.03


class Server(Protocol):
    """What `Postgres` and `Valkey` have in common."""

    @property
    def name(self) -> str: ...
    @property
    def account(self) -> Account | None: ...
    @property
    def command(self) -> list[str]: ...
    @property
    def stop_signal(self) -> signal.Signals: ...
    @property
    def url(self) -> str: ...
    def prepare(self) -> None: ...
    def ping(self) -> None: ...


def tethered(server: Server) -> list[str]:
    """The command line that runs a server under its own account with no secrets around."""
    options = server.account.tether_options if server.account else []
    options = [*options, "--signal", server.stop_signal.name.removeprefix("SIG"), "--bare"]
    return tether.tethered(server.command, options)


def ready(server: Server) -> bool:
    try:
        server.ping()
    except (psycopg.Error, redis.RedisError):
        return False
    return True


class Service:
    """One server process that a test may stop, kill, pause and start again."""

    def __init__(self, server: Server, log: Path) -> None:
        self.server = server
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.server.name} was never started"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the server and wait until it answers.

        Raises:
            PartFailed: it ended, or did not answer in time.
        """
        if self.running:
            return
        deadline = time.monotonic() + READY_SECONDS
        self._spawn()
        while not ready(self.server):
            if time.monotonic() > deadline:
                raise PartFailed(f"{self.server.name} does not answer", self.log)
            if not self.running:
                # The children of a killed server may still hold its memory for a moment.
                if time.monotonic() > deadline - READY_SECONDS + 5:
                    raise PartFailed(f"{self.server.name} does not start", self.log)
                time.sleep(0.2)
                self._spawn()
            time.sleep(POLL_SECONDS)

    def _spawn(self) -> None:
        self.server.prepare()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                tethered(self.server),
                cwd="/",
                env={**os.environ, tether.PARENT: str(os.getpid())},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C is for the test run, which stops us in its own order.
                start_new_session=True,
            )

    def stop(self) -> None:
        """End the server in order and wait for it."""
        self._end(self.server.stop_signal)

    def kill(self) -> None:
        """`kill -9`."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        if self.running:
            self._process.send_signal(number)
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def restart(self, down_seconds: float = 0.0) -> None:
        """Stop, stay down, start again with the same data and port."""
        self.stop()
        time.sleep(down_seconds)
        self.start()

    def pause(self) -> None:
        """Freeze it: connections stay open and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)


class Services:
    """PostgreSQL and Valkey on private ports.

    `state_dir=None` makes a temporary directory and deletes it at the end; a given one keeps
    its data, ports and passwords. `durable=False` switches fsync off: faster, and still safe
    against killed processes. `postgres_settings` adds lines to `postgresql.conf`.
    """

    def __init__(
        self,
        state_dir: Path | None = None,
        *,
        durable: bool = True,
        postgres_settings: Mapping[str, str] | None = None,
    ) -> None:
        self._temporary = state_dir is None
        self.state = State(state_dir or Path(tempfile.mkdtemp(prefix="llmqueue-services-")))
        self.state.create()
        account = service_account()
        place = home.choose(self.state, account)
        port = ports.choose(self.state, ("postgres", "valkey"))
        secrets = self.state.secrets()
        settings = {**({} if durable else {"fsync": "off"}), **(postgres_settings or {})}
        self.postgres = Service(
            Postgres(
                programs=place.postgres_programs,
                data=place.data / "postgres",
                port=port["postgres"],
                password=secrets["postgres"],
                account=account,
                settings=settings,
            ),
            self.state.log("postgres"),
        )
        self.valkey = Service(
            Valkey(
                program=place.valkey_program,
                data=place.data / "valkey",
                port=port["valkey"],
                password=secrets["valkey"],
                account=account,
            ),
            self.state.log("valkey"),
        )

    @property
    def database_url(self) -> str:
        return self.postgres.url

    @property
    def redis_url(self) -> str:
        return self.valkey.url

    @property
    def environment(self) -> dict[str, str]:
        """What a process of the project needs to use these two."""
        return {"DATABASE_URL": self.database_url, "REDIS_URL": self.redis_url}

    def start(self) -> Self:
        try:
            self.postgres.start()
            self.valkey.start()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End both; delete the directory if it is a temporary one."""
        self.valkey.stop()
        self.postgres.stop()
        if self._temporary and self.state.root.exists():
            home.erase(self.state)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _value: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.stop()
