"""llmqueue as it runs in production: PostgreSQL, Valkey, web and worker processes."""

from __future__ import annotations

import json
import secrets
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.contenders import MODEL, Contender, plain_environment
from benchmarks.processes import Process, ProcessFailedError, run
from llmqueue_project.embedded.ports import free_port
from llmqueue_project.embedded.services import Services

BIN = Path(sys.executable).parent
READY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Shape:
    """How many of what. `slots` is each worker's concurrency.

    `endpoint_slots` is the endpoint's, all that the workers can do if not given; `settings` are
    more of llmqueue's environment, `tenants` get an API key each.
    """

    web: int = 1
    workers: int = 1
    slots: int = 320
    gear: str | None = None
    endpoint_slots: int | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    tenants: Sequence[str] = ()


@contextmanager
def llmqueue(directory: Path, endpoint: Contender, shape: Shape) -> Iterator[Contender]:
    """The stack in front of `endpoint`, migrated, with a tenant's API key."""
    with ExitStack() as stack:
        services = stack.enter_context(Services())
        environment = _environment(directory, endpoint, shape) | services.environment
        key = _bootstrap(environment)
        keys = _tenants(environment, shape.tenants)
        port = free_port()
        web = stack.enter_context(_web(directory, environment, port, shape))
        workers = [
            stack.enter_context(_worker(directory, environment, number))
            for number in range(shape.workers)
        ]
        web.wait_until_answering(f"http://127.0.0.1:{port}/health", seconds=60)
        parts = {"web": web.pid, "postgres": services.postgres.pid, "valkey": services.valkey.pid}
        parts |= {_worker_name(number): worker.pid for number, worker in enumerate(workers)}
        ours = Contender(
            "llmqueue",
            f"http://127.0.0.1:{port}/v1",
            key,
            parts | endpoint.parts,
            keys,
            services.database_url,
            services.redis_url,
        )
        _wait_for_an_answer(ours, [web, *workers])
        yield ours


def _wait_for_an_answer(contender: Contender, processes: list[Process]) -> None:
    """A worker has no port to ask: it is ready when a request comes back.

    Raises:
        ProcessFailedError: a process ended, or no answer came.
    """
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        for process in processes:
            process.must_run()
        if contender.answers():
            return
        time.sleep(0.2)
    logs = "\n".join(process.tail() for process in processes)
    raise ProcessFailedError(f"llmqueue does not answer\n{logs}")


def _environment(directory: Path, endpoint: Contender, shape: Shape) -> dict[str, str]:
    metrics = directory / "metrics"
    metrics.mkdir(exist_ok=True)
    gear = {"LLMQUEUE_SCHEDULING__GEAR": shape.gear} if shape.gear else {}
    return plain_environment() | {
        "LLM_BASE_URL": endpoint.base_url,
        "LLM_MODEL": MODEL,
        "LLM_MAX_CONCURRENT": str(shape.endpoint_slots or shape.slots * shape.workers),
        "LLMQUEUE_SECRET_KEY": secrets.token_hex(32),
        "LLMQUEUE_STATE_DIR": str(directory),
        "LLMQUEUE_LOG_FORMAT": "json",
        "LLMQUEUE_WEB__SHUTDOWN_ACCEPT_SECONDS": "0",
        "LLMQUEUE_SCHEDULING__WORKER_CONCURRENCY": str(shape.slots),
        "PROMETHEUS_MULTIPROC_DIR": str(metrics),
        **gear,
        **shape.settings,
    }


def _bootstrap(environment: dict[str, str]) -> str:
    """Create tables, tenant, key and endpoint; the API key."""
    manage = [sys.executable, "manage.py"]
    run([*manage, "migrate", "--verbosity", "0"], environment=environment)
    return str(json.loads(run([*manage, "bootstrap"], environment=environment))["api_key"])


def _tenants(environment: dict[str, str], names: Sequence[str]) -> dict[str, str]:
    """A tenant by each of these names; their API keys."""
    if not names:
        return {}
    command = [sys.executable, "-m", "benchmarks.tenants", *names]
    found: dict[str, str] = json.loads(run(command, environment=environment))
    return found


def _web(directory: Path, environment: dict[str, str], port: int, shape: Shape) -> Process:
    command = [str(BIN / "granian"), "--interface", "asgi", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", str(shape.web)]
    command += ["--backlog", "8192", "--backpressure", "8192"]
    command += ["llmqueue_project.asgi:application"]
    return Process("web", command, log=directory / "web.log", environment=environment)


def _worker(directory: Path, environment: dict[str, str], number: int) -> Process:
    name = _worker_name(number)
    command = [str(BIN / "celery"), "-A", "llmqueue_project", "worker", "-P", "threads"]
    command += ["-Q", "realtime,high,normal,low", "-n", f"{name}@%h"]
    with_metrics = environment | {"LLMQUEUE_WORKER_METRICS_PORT": str(free_port())}
    return Process(name, command, log=directory / f"{name}.log", environment=with_metrics)


def _worker_name(number: int) -> str:
    return "worker" if number == 0 else f"worker{number + 1}"
