"""A whole llmqueue as production runs it: real servers, `granian` and `celery worker` processes.

It uses the services' own database, not Django's test database: other processes must see it.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import psycopg

from llmqueue_project.config import ROOT
from llmqueue_project.embedded import tether
from llmqueue_project.embedded.services import Services

_migrated: set[str] = set()
KEY = "testkey1." + "k" * 32
LEVEL_QUEUES = "realtime,high,normal,low"
# Short leases, so that tests of lost workers are short.
QUICK = {
    "LLMQUEUE_SCHEDULING__LEASE_SECONDS": "4",
    "LLMQUEUE_SCHEDULING__HEARTBEAT_SECONDS": "1",
    "LLMQUEUE_SCHEDULING__SWEEP_SECONDS": "0.5",
    "LLMQUEUE_SCHEDULING__SHUTDOWN_GRACE_SECONDS": "3",
    "LLMQUEUE_SCHEDULING__RETRY_BASE_SECONDS": "0.1",
    "LLMQUEUE_SCHEDULING__RETRY_CAP_SECONDS": "1",
    "LLMQUEUE_BALANCING__REGISTRY_SECONDS": "0.3",
    "LLMQUEUE_BALANCING__FAILURE_COOLDOWN_SECONDS": "1",
    "LLMQUEUE_WEB__KEY_CACHE_SECONDS": "0.5",
    "LLMQUEUE_LOG_FORMAT": "json",
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(check: Callable[[], Any], *, seconds: float = 60.0, what: str = "") -> Any:
    """The first true answer of `check`, asked until the time is up."""
    deadline = time.monotonic() + seconds
    while True:
        found = check()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what or check}")
        time.sleep(0.05)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.raw)


@dataclass
class Stack:
    services: Services
    gear: str = "task"
    workers: int = 1
    webs: int = 1
    environment: dict[str, str] = field(default_factory=dict)
    worker_processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    web_processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.logs = Path(tempfile.mkdtemp(prefix="llmqueue-test-logs-"))
        self.ports = [free_port() for _ in range(self.webs)]
        self.url = f"http://127.0.0.1:{self.ports[0]}"
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("LLMQUEUE_")},
            **QUICK,
            **self.services.environment,
            "LLMQUEUE_API_KEY": KEY,
            "LLMQUEUE_ADMIN_PASSWORD": "operator-password",
            "LLMQUEUE_SCHEDULING__GEAR": self.gear,
            "PYTHONWARNINGS": "ignore",
            **self.environment,
        }

    def start(self) -> Stack:
        if self.services.database_url not in _migrated:
            self.manage("migrate", "-v0")
            _migrated.add(self.services.database_url)
        self.wipe()
        self.manage("bootstrap")
        for port in self.ports:
            self.web_processes.append(self._web(port))
        for _ in range(self.workers):
            self.add_worker()
        for port in self.ports:
            eventually(partial(self._answers, port), what=f"web on {port}")
        eventually(lambda: self._consuming() >= self.workers, what="workers")
        return self

    def stop(self) -> None:
        for process in (*self.worker_processes, *self.web_processes):
            if process.poll() is None:
                process.terminate()
        for process in (*self.worker_processes, *self.web_processes):
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def manage(self, *command: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *command],
            env=self.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def wipe(self) -> None:
        """No rows, no keys in Valkey: a stack starts from nothing."""
        tables = [
            row[0]
            for row in self.rows(
                "select tablename from pg_tables where schemaname = 'public'"
                " and (tablename like 'scheduling%' or tablename like 'balancing%'"
                "      or tablename like 'conversations%') and tablename <> 'scheduling_levelclock'"
            )
        ]
        self.execute(f"truncate {', '.join(tables)} cascade")
        self.execute("update scheduling_levelclock set virtual_time = 0")
        self.valkey().flushall()

    def add_worker(self, queues: str = LEVEL_QUEUES) -> subprocess.Popen[bytes]:
        number = len(self.worker_processes)
        command = [
            *(sys.executable, "-m", "celery", "-A", "llmqueue_project", "worker"),
            *("-P", "threads", "-Q", queues, "-n", f"w{number}@test"),
        ]
        process = self._tethered(command, f"worker{number}", watch=False)
        self.worker_processes.append(process)
        return process

    def restart_web(self, index: int = 0) -> None:
        self.web_processes[index] = self._web(self.ports[index])
        eventually(lambda: self._answers(self.ports[index]), what="web again")

    def _web(self, port: int) -> subprocess.Popen[bytes]:
        command = [
            *(sys.executable, "-m", "granian", "--interface", "asgi", "--host", "127.0.0.1"),
            *("--port", str(port), "--workers", "1", "--backpressure", "4096"),
            "llmqueue_project.asgi:application",
        ]
        return self._tethered(command, f"web{port}", watch=True)

    def _tethered(self, command: list[str], name: str, *, watch: bool) -> subprocess.Popen[bytes]:
        log = (self.logs / f"{name}.log").open("ab")
        options = ["--watch"] if watch else []
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(tether.__file__), *options, "--", *command],
            env={**self.environment, tether.PARENT: str(os.getpid())},
            cwd=ROOT,
            stdout=log,
            stderr=log,
        )

    def log(self, name: str) -> str:
        return "".join(path.read_text() for path in sorted(self.logs.glob(f"{name}*.log")))

    def _answers(self, port: int) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=2) as r:
                return bool(r.status == 200)
        except OSError:
            return False

    def _consuming(self) -> int:
        return sum(" ready." in self.log(f"worker{n}") for n in range(len(self.worker_processes)))

    def valkey(self) -> Any:
        import redis

        return redis.Redis.from_url(self.services.redis_url)

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.services.database_url, autocommit=True) as connection:
            return connection.execute(statement, values or None).fetchall()

    def execute(self, statement: str, *values: Any) -> None:
        with psycopg.connect(self.services.database_url, autocommit=True) as connection:
            connection.execute(statement, values or None)

    def register(self, name: str, base_url: str, **fields: Any) -> None:
        values = {"max_concurrent": 8, "weight": 1.0, "models": ["fake-model"], **fields}
        self.execute(
            "insert into balancing_endpoint (name, base_url, model_names, api_key_variable, weight,"
            " max_concurrent, state, created_at, updated_at)"
            " values (%s, %s, %s, '', %s, %s, 'enabled', now(), now())"
            " on conflict (name) do update set base_url = excluded.base_url,"
            " model_names = excluded.model_names, weight = excluded.weight,"
            " max_concurrent = excluded.max_concurrent, state = 'enabled'",
            name,
            base_url,
            json.dumps(values["models"]),
            values["weight"],
            values["max_concurrent"],
        )
        for column in {"kind", "apis", "api_version", "requests_per_minute"} & values.keys():
            self.execute(
                f"update balancing_endpoint set {column} = %s where name = %s",
                json.dumps(values[column]) if column == "apis" else values[column],
                name,
            )
        time.sleep(0.7)  # both registries are 0.3 s old at the most

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = KEY,
        timeout: float = 60,
        **headers: str,
    ) -> Answer:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url + path, data=raw if body is not None else None, method=method
        )
        request.add_header("Content-Type", "application/json")
        if key is not None:
            request.add_header("Authorization", f"Bearer {key}")
        for name, value in headers.items():
            request.add_header(name.replace("_", "-"), value)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as response:
                return _answer(response.status, response.headers.items(), response.read())
        except urllib.error.HTTPError as error:
            return _answer(error.code, error.headers.items(), error.read())

    def chat(
        self, content: str, *, key: str | None = KEY, headers: Any = None, **fields: Any
    ) -> Answer:
        messages = [{"role": "user", "content": content}]
        body = {"model": "fake-model", "messages": messages, **fields}
        return self.call("POST", "/v1/chat/completions", body, key=key, **(headers or {}))

    def jobs(self) -> dict[str, int]:
        return dict(self.rows("select status, count(*) from scheduling_job group by status"))

    def all_ended(self) -> bool:
        """Whether every accepted job has ended."""
        return not set(self.jobs()) & {"held", "queued", "processing"}


def _answer(status: int, headers: Any, raw: bytes) -> Answer:
    return Answer(status, {name.lower(): value for name, value in headers}, raw)


def kill(process: subprocess.Popen[bytes]) -> None:
    """`kill -9` of a process and of all it started: nobody gets to say goodbye."""
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for member in family:
        member.send_signal(signal.SIGKILL)
    process.wait()


@contextmanager
def running_stack(services: Services, **options: Any) -> Iterator[Stack]:
    stack = Stack(services, **options)
    try:
        yield stack.start()
    except BaseException:
        for name in ("worker", "web"):
            print(f"--- {name}\n{stack.log(name)[-6000:]}")
        raise
    finally:
        stack.stop()
