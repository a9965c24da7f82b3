"""The embedded PostgreSQL: its cluster, its settings and how to start and reach it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import psycopg
from psycopg import sql

from llmqueue_project.embedded.accounts import Account
from llmqueue_project.embedded.errors import EmbeddedError
from llmqueue_project.embedded.state import write_private

ROLE = DATABASE = "llmqueue"
SETTINGS: Mapping[str, str] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
    "random_page_cost": "1.1",
    "jit": "off",
    # An old snapshot makes every claim walk over dead rows (0.55 -> 1.35 ms).
    "idle_in_transaction_session_timeout": "60s",
    # A client host that vanished must not hold its locks for TCP's two hours.
    "tcp_keepalives_idle": "60",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %a ",
    "log_checkpoints": "off",
}


@dataclass(frozen=True)
class Postgres:
    """One cluster on one private port of 127.0.0.1."""

    programs: Path
    data: Path
    port: int
    password: str = field(repr=False)
    account: Account | None = None
    settings: Mapping[str, str] = field(default_factory=dict)

    name = "postgres"
    # SIGINT is the fast shutdown: end the sessions, write a checkpoint, leave.
    stop_signal = signal.SIGINT

    @property
    def url(self) -> str:
        return f"postgresql://{ROLE}:{self.password}@127.0.0.1:{self.port}/{DATABASE}"

    @property
    def command(self) -> list[str]:
        return [str(self.programs / "postgres"), "-D", str(self.data)]

    def prepare(self) -> None:
        """Create the cluster if there is none, write its settings, forget a dead server."""
        if not (self.data / "PG_VERSION").exists():
            self._initialise()
        owner, expected = self.data.stat().st_uid, _uid(self.account)
        if owner != expected:
            raise EmbeddedError(
                f"{self.data} belongs to user {owner}, PostgreSQL would run as {expected}: "
                "start llmqueue as the user who created it, or delete the state directory."
            )
        self._write_settings()
        self._forget_dead_server()

    def _initialise(self) -> None:
        """Run initdb beside the final place, so that a killed one leaves nothing half made."""
        with tempfile.TemporaryDirectory(dir=self.data.parent, prefix=".initdb-") as name:
            folder, password = Path(name), Path(name) / "password"
            password.write_text(self.password)
            password.chmod(0o600)
            if self.account:
                self.account.own(folder)
                self.account.own(password)
            self._initdb(folder / "cluster", password)
            # A cluster without PG_VERSION is the rest of something else: never overwrite it.
            (folder / "cluster").rename(self.data)

    def _initdb(self, target: Path, password: Path) -> None:
        command = [str(self.programs / "initdb"), "-D", str(target), f"--username={ROLE}"]
        command += [f"--pwfile={password}", "--auth=scram-sha-256", "--encoding=UTF8"]
        command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        finished = subprocess.run(
            [*command, "--no-instructions"],
            cwd="/",
            env={"LC_ALL": "C", "PATH": os.environ.get("PATH", "")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            **(self.account.popen_options if self.account else {}),
        )
        if finished.returncode != 0:
            raise EmbeddedError(
                "PostgreSQL could not create its cluster (initdb, exit "
                f"{finished.returncode}):\n{(finished.stdout + finished.stderr).strip()}"
            )

    def _write_settings(self) -> None:
        settings = {**SETTINGS, "port": str(self.port), **self.settings}
        path = self.data / "postgresql.conf"
        text = "# Written by llmqueue at every start; use ALTER SYSTEM for changes of your own.\n"
        write_private(path, text + "".join(f"{k} = '{v}'\n" for k, v in settings.items()))
        if self.account:
            self.account.own(path)

    def _forget_dead_server(self) -> None:
        """Remove the lock file of a killed server whose process id now is somebody else's.

        After a reboot of the machine that somebody is often our own Valkey, of the same
        user, and PostgreSQL would refuse to start for ever.
        """
        path = self.data / "postmaster.pid"
        try:
            pid = int(path.read_text().split("\n", 1)[0])
            alive = psutil.Process(pid).name().startswith("postgres")
        except FileNotFoundError:
            return
        except (ValueError, psutil.Error):
            alive = False
        if not alive:
            path.unlink(missing_ok=True)

    def ping(self) -> None:
        """Connect, and create the database if it is missing.

        Raises:
            psycopg.Error: no server that is ready answers there.
        """
        try:
            psycopg.connect(self.url, connect_timeout=3).close()
        except psycopg.OperationalError as error:
            if f'database "{DATABASE}" does not exist' not in str(error):
                raise
            self._create_database()

    def _create_database(self) -> None:
        maintenance = self.url.removesuffix(DATABASE) + "postgres"
        with psycopg.connect(maintenance, connect_timeout=3, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))

    def erase(self) -> None:
        shutil.rmtree(self.data, ignore_errors=True)


def _uid(account: Account | None) -> int:
    return account.uid if account else os.geteuid()
