"""A whole llmqueue as production runs it: real servers, `granian` and `celery worker` processes.

It uses the services' own database, not Django's test database: other processes must see it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import redis

from llmqueue_project.config import ROOT
from llmqueue_project.embedded.ports import free_port
from llmqueue_project.embedded.readiness import http_ok
from llmqueue_project.embedded.services import Services
from tests import processes
from tests.client import KEY, Client
from tests.eventually import eventually

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
    "LLMQUEUE_WEB__SHUTDOWN_ACCEPT_SECONDS": "0",
    "LLMQUEUE_WEB__SHUTDOWN_GRACE_SECONDS": "3",
    "LLMQUEUE_LOG_FORMAT": "json",
}
TABLES = """
select tablename from pg_tables
 where schemaname = 'public' and tablename <> 'scheduling_levelclock'
   and (tablename like 'scheduling%' or tablename like 'balancing%'
        or tablename like 'conversations%')
"""
REGISTER = """
insert into balancing_endpoint
       (name, base_url, model_names, api_key_variable, weight, max_concurrent, state,
        created_at, updated_at)
values (%s, %s, %s, '', %s, %s, 'enabled', now(), now())
    on conflict (name) do update
   set base_url = excluded.base_url, model_names = excluded.model_names,
       weight = excluded.weight, max_concurrent = excluded.max_concurrent, state = 'enabled'
"""


class Stack(Client):
    """Web and worker processes on the run's PostgreSQL and Valkey, and a client of them."""

    def __init__(
        self,
        services: Services,
        *,
        gear: str = "task",
        workers: int = 1,
        webs: int = 1,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.services = services
        self.gear = gear
        self.ports = [free_port() for _ in range(webs)]
        self.logs = Path(tempfile.mkdtemp(prefix="llmqueue-test-logs-"))
        self.worker_processes: list[subprocess.Popen[bytes]] = []
        self.web_processes: list[subprocess.Popen[bytes]] = []
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("LLMQUEUE_")},
            **QUICK,
            **services.environment,
            "LLMQUEUE_API_KEY": KEY,
            "LLMQUEUE_ADMIN_PASSWORD": "operator-password",
            "LLMQUEUE_SCHEDULING__GEAR": gear,
            "PYTHONWARNINGS": "ignore",
            **(environment or {}),
        }
        self._workers = workers
        super().__init__(f"http://127.0.0.1:{self.ports[0]}")

    def start(self) -> Stack:
        if not self.rows("select 1 from pg_tables where tablename = 'scheduling_job'"):
            self.manage("migrate", "-v0")
        self.wipe()
        self.manage("bootstrap")
        self.web_processes = [self._web(port) for port in self.ports]
        for _ in range(self._workers):
            self.add_worker()
        for port in self.ports:
            eventually(partial(self.answers, port), what=f"web on {port}")
        eventually(lambda: self._consuming() >= self._workers, what="workers")
        return self

    def stop(self) -> None:
        processes.stop((*self.worker_processes, *self.web_processes))

    def add_worker(self, queues: str = LEVEL_QUEUES, *options: str) -> subprocess.Popen[bytes]:
        """One more worker, of these queues; its log is `worker<number>`."""
        number = len(self.worker_processes)
        threads = ("-P", "threads", "-Q", queues, "-n", f"w{number}@test", *options)
        return self.start_celery(f"worker{number}", "worker", *threads)

    def start_celery(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Any of Celery's programs, with a log of this name; it ends with the workers."""
        command = [sys.executable, "-m", "celery", "-A", "llmqueue_project", *arguments]
        process = processes.start(command, self.environment, log=self._log(name))
        self.worker_processes.append(process)
        return process

    def restart_web(self, index: int = 0) -> None:
        self.web_processes[index] = self._web(self.ports[index])
        eventually(lambda: self.answers(self.ports[index]), what="web again")

    def _web(self, port: int) -> subprocess.Popen[bytes]:
        command = [
            *(sys.executable, "-m", "granian", "--interface", "asgi", "--host", "127.0.0.1"),
            *("--port", str(port), "--workers", "1", "--backpressure", "4096"),
            "llmqueue_project.asgi:application",
        ]
        return processes.start(command, self.environment, log=self._log(f"web{port}"), watch=True)

    def answers(self, port: int) -> bool:
        """Whether the web process on this port is ready."""
        return http_ok(f"http://127.0.0.1:{port}/health/ready")

    def _consuming(self) -> int:
        return sum(" ready." in self.log(f"worker{n}") for n in range(len(self.worker_processes)))

    def log(self, name: str) -> str:
        """The logs whose names begin so."""
        return "".join(path.read_text() for path in sorted(self.logs.glob(f"{name}*.log")))

    def _log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def manage(self, *command: str) -> str:
        """Run a management command; its standard output."""
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

    def valkey(self) -> Any:
        return redis.Redis.from_url(self.services.redis_url)

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.services.database_url, autocommit=True) as connection:
            return connection.execute(statement.encode(), values or None).fetchall()

    def execute(self, statement: str, *values: Any) -> None:
        with psycopg.connect(self.services.database_url, autocommit=True) as connection:
            connection.execute(statement.encode(), values or None)

    def wipe(self) -> None:
        """No rows, no keys in Valkey: a stack starts from nothing."""
        self.execute(f"truncate {', '.join(row[0] for row in self.rows(TABLES))} cascade")
        self.execute("update scheduling_levelclock set virtual_time = 0")
        self.valkey().flushall()

    def register(self, name: str, base_url: str, **fields: Any) -> None:
        """Make or change an endpoint; returns when web and workers have read the row."""
        values = {"max_concurrent": 8, "weight": 1.0, "models": ["fake-model"], **fields}
        models = json.dumps(values["models"])
        self.execute(REGISTER, name, base_url, models, values["weight"], values["max_concurrent"])
        for column in {"kind", "apis", "api_version", "requests_per_minute"} & values.keys():
            self.execute(
                f"update balancing_endpoint set {column} = %s where name = %s",
                json.dumps(values[column]) if column == "apis" else values[column],
                name,
            )
        time.sleep(0.7)  # both registries are 0.3 s old at the most

    def jobs(self) -> dict[str, int]:
        """How many jobs have each status."""
        return dict(self.rows("select status, count(*) from scheduling_job group by status"))

    def all_ended(self) -> bool:
        """Whether every accepted job has ended."""
        return not set(self.jobs()) & {"held", "queued", "processing"}


@contextmanager
def running_stack(services: Services, **options: Any) -> Iterator[Stack]:
    """A started stack; when its test fails, the ends of its logs are printed."""
    stack = Stack(services, **options)
    try:
        yield stack.start()
    except BaseException:
        for name in ("worker", "web"):
            print(f"--- {name}\n{stack.log(name)[-6000:]}")
        raise
    finally:
        stack.stop()
