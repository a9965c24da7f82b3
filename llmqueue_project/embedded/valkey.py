"""The embedded Valkey: an append-only store on a private port, password in a 0600 file."""

from __future__ import annotations

import shutil
import signal
from dataclasses import dataclass, field
from pathlib import Path

import redis

from llmqueue_project.embedded.accounts import Account
from llmqueue_project.embedded.state import write_private

CONFIGURATION = """\
# Written by llmqueue at every start.
bind 127.0.0.1
port {port}
protected-mode yes
requirepass {password}
dir "{data}"
appendonly yes
appendfsync everysec
save ""
# Tickets and slots are never evicted; what may go carries an expiry.
maxmemory-policy noeviction
daemonize no
logfile ""
enable-debug-command no
"""


@dataclass(frozen=True)
class Valkey:
    """One server on one private port of 127.0.0.1."""

    program: Path
    data: Path
    port: int
    password: str = field(repr=False)
    account: Account | None = None

    name = "valkey"
    stop_signal = signal.SIGTERM

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    @property
    def configuration(self) -> Path:
        return self.data / "valkey.conf"

    @property
    def command(self) -> list[str]:
        return [str(self.program), str(self.configuration)]

    def prepare(self) -> None:
        """Make the data folder and write the configuration."""
        self.data.mkdir(mode=0o700, exist_ok=True)
        text = CONFIGURATION.format(port=self.port, password=self.password, data=self.data)
        write_private(self.configuration, text)
        if self.account:
            self.account.own(self.data)
            self.account.own(self.configuration)

    def ping(self) -> None:
        """Raises:
        redis.RedisError: no server that finished loading answers there.
        """
        client = redis.Redis.from_url(self.url, socket_timeout=3, socket_connect_timeout=3)
        try:
            client.ping()
        finally:
            client.close()

    def erase(self) -> None:
        shutil.rmtree(self.data, ignore_errors=True)
