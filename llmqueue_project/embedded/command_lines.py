"""With which command does each part run, as whom, and how is it stopped?"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path

from llmqueue_project.embedded import llm
from llmqueue_project.embedded.accounts import Account
from llmqueue_project.embedded.errors import EmbeddedError
from llmqueue_project.embedded.postgres import Postgres
from llmqueue_project.embedded.programs import Program
from llmqueue_project.embedded.valkey import Valkey

# No balancer is to be told, and granian ends what runs after `--workers-kill-timeout`.
QUICK_STOP = {
    "LLMQUEUE_WEB__SHUTDOWN_ACCEPT_SECONDS": "0",
    "LLMQUEUE_WEB__SHUTDOWN_GRACE_SECONDS": "2",
}
CODE = ("llmqueue_project", "conversations", "scheduling", "balancing", "stores")


def servers(
    postgres: Postgres | None, valkey: Valkey | None, *, account: Account | None
) -> list[Program]:
    """The databases that run here."""
    return [
        Program(
            name=server.name,
            command=server.command,
            group="services",
            account=account,
            stop_signal=server.stop_signal.name.removeprefix("SIG"),
            bare=True,
        )
        for server in (postgres, valkey)
        if server
    ]


def model_server(
    model: str | None, port: int, *, account: Account | None, application: Account | None
) -> list[Program]:
    """The endpoint that runs here, if any."""
    if model == "fake":
        # About as fast as the demo model; `POST /control` changes it while it runs.
        speed = ["--first-token", "0.2", "--tokens-per-second", "30", "--tokens", "64"]
        command = [sys.executable, "-m", "tests.fake_llm", "--port", str(port), "--models", "fake"]
        return [Program("llm", [*command, *speed], "services", application)]
    if model:
        # It drops privileges itself, once the interpreter and the weights are open.
        user = account.tether_options if account else []
        command = [sys.executable, "-m", "llmqueue_project.embedded.llm", "--port", str(port)]
        return [Program("llm", [*command, *user], "services", bare=True, keep=("LLM_API_KEY",))]
    return []


def applications(
    account: Account | None,
    port: Mapping[str, int],
    metrics_folder: Path,
    given: Mapping[str, str],
    *,
    reload: bool,
) -> list[Program]:
    """Web, worker, housekeeping, beat and Flower."""
    celery = [sys.executable, "-m", "celery", "-A", "llmqueue_project"]
    level_queues = "realtime,high,normal,low"
    worker = [*celery, "worker", "-P", "threads", "-Q", level_queues, "-n", "llm@%h"]
    housekeeping = [*celery, "worker", "-P", "threads", "-c", "2", "-Q", "housekeeping"]
    beat = [*celery, "beat"]
    flower = [*celery, "flower", "--address=127.0.0.1", f"--port={port['flower']}"]
    # Workers that stopped leave the list after a minute, and tasks do not pile up.
    flower += ["--purge_offline_workers=60", "--max_tasks=10000"]
    metrics = "LLMQUEUE_WORKER_METRICS_PORT"
    return [
        Program(
            "web",
            _web(port["web"], given, reload=reload),
            account=account,
            # Its workers are children of its own.
            watch=True,
            environment={"PROMETHEUS_MULTIPROC_DIR": str(metrics_folder), **QUICK_STOP},
        ),
        Program(
            "worker",
            reloading(worker) if reload else worker,
            account=account,
            watch=reload,
            environment={metrics: given.get(metrics) or str(port["worker_metrics"])},
        ),
        Program(
            "housekeeping",
            [*housekeeping, "-n", "housekeeping@%h"],
            account=account,
            environment={metrics: str(port["housekeeping_metrics"])},
        ),
        Program("beat", beat, account=account),
        Program("flower", [*flower, "--url_prefix=flower"], account=account),
    ]


def _web(port: int, given: Mapping[str, str], *, reload: bool) -> list[str]:
    workers = given.get("LLMQUEUE_WEB_WORKERS") or str(max(1, min(4, llm.cores() // 2)))
    command = [sys.executable, "-m", "granian", "--interface", "asgi", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", "1" if reload else workers]
    # Streams are held open: the default refuses above 1024 of them.
    command += ["--workers-kill-timeout", "3", "--backlog", "8192", "--backpressure", "8192"]
    if reload:
        require_watchfiles()
        command.append("--reload")
        for folder in CODE:
            command += ["--reload-paths", folder]
    return [*command, "llmqueue_project.asgi:application"]


def reloading(command: list[str]) -> list[str]:
    """Run it again at every change of the code."""
    require_watchfiles()
    watch = [sys.executable, "-m", "watchfiles", "--filter", "python", "--target-type", "command"]
    return [*watch, " ".join(command), *CODE]


def require_watchfiles() -> None:
    if importlib.util.find_spec("watchfiles") is None:
        raise EmbeddedError("hot reload needs the tools: run `make dev`, or pip install watchfiles")
