"""How does the whole stack start, stay up and stop? Step by step, on one state directory."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from llmqueue_project.config import ROOT
from llmqueue_project.embedded import readiness, tether
from llmqueue_project.embedded.console import complain, say, step
from llmqueue_project.embedded.errors import EmbeddedError, PartFailed
from llmqueue_project.embedded.parts import Parts, plan
from llmqueue_project.embedded.services import ready
from llmqueue_project.embedded.state import State, write_private
from llmqueue_project.embedded.supervision import Status, Supervisor, wait_for_previous

WATCH_SECONDS = 1.0
# A part that supervisord gave up is tried again this often: its cause may have gone.
REVIVE_SECONDS = 30.0
FIRST_APPLICATIONS = ("web", "worker")
CREDENTIALS = ("api_key", "admin_user", "admin_password")


class Stack:
    """One run on one state directory, whose lock the caller holds."""

    def __init__(self, state: State, given: Mapping[str, str], *, reload: bool = False) -> None:
        self.state = state
        self._given = given
        self._reload = reload
        self._parts: Parts | None = None
        self._supervisor: Supervisor | None = None
        self._credentials: dict[str, str] = {}

    @property
    def parts(self) -> Parts:
        assert self._parts is not None, "the stack was not started"
        return self._parts

    @property
    def supervisor(self) -> Supervisor:
        assert self._supervisor is not None, "the stack was not started"
        return self._supervisor

    @property
    def exports(self) -> dict[str, str]:
        """What `.state/env` tells a shell."""
        return {
            "LLMQUEUE_URL": self.parts.url,
            "LLMQUEUE_API_KEY": self._credentials["api_key"],
            "LLMQUEUE_ADMIN_USER": self._credentials["admin_user"],
            "LLMQUEUE_ADMIN_PASSWORD": self._credentials["admin_password"],
            "DATABASE_URL": self.parts.environment["DATABASE_URL"],
            "REDIS_URL": self.parts.environment["REDIS_URL"],
            "FLOWER_URL": f"{self.parts.url}/flower/",
        }

    def start(self) -> None:
        """Bring everything up.

        Raises:
            EmbeddedError: with what to do, and the log to read.
        """
        with step("prepare ports, passwords and folders"):
            wait_for_previous(self.state)
            self.state.env.unlink(missing_ok=True)
            self._parts = plan(self.state, self._given, reload=self._reload)
            self._supervisor = Supervisor(self.state, self._parts.programs)
            self._supervisor.start(self._parts.environment)
            for name in self._parts.named("postgres", "valkey", "llm"):
                self._supervisor.start_program(name)
        self._wait_for_services()
        with step("migrate; create operator, tenant, key, endpoint"):
            self._prepare_database()
        self._wait_for_model()
        self._start_applications()
        self._write_exports()

    def _wait_for_services(self) -> None:
        environment = self.parts.environment
        with step(_title("PostgreSQL", self.parts.port["postgres"], self.parts.postgres)):
            if self.parts.postgres:
                self._wait("postgres", partial(ready, self.parts.postgres))
            else:
                readiness.require_database(environment["DATABASE_URL"])
        with step(_title("Valkey", self.parts.port["valkey"], self.parts.valkey)):
            if self.parts.valkey:
                self._wait("valkey", partial(ready, self.parts.valkey))
            else:
                readiness.require_redis(environment["REDIS_URL"])

    def _wait_for_model(self) -> None:
        if self.parts.llm is None:
            return
        port = self.parts.port["llm"]
        with step(f"the model {self.parts.llm} on port {port}"):
            self._wait("llm", lambda: readiness.http_ok(f"http://127.0.0.1:{port}/health"))

    def _manage(self, *names: str) -> str:
        """Run management commands as the application's user; their standard output."""
        account = self.parts.application_account
        options = account.tether_options if account else []
        command = [sys.executable, "-m", "llmqueue_project.embedded.commands", *names]
        log = self.state.log("commands")
        with log.open("wb") as errors:
            finished = subprocess.run(
                tether.tethered(command, options),
                cwd=ROOT,
                env={**self.parts.environment, tether.PARENT: str(os.getpid())},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                check=False,
            )
        output = finished.stdout.decode(errors="replace")
        if finished.returncode != 0:
            with log.open("a") as file:
                file.write(output)
            raise PartFailed(f"`manage.py {' or '.join(names)}` failed", log)
        return output

    def _prepare_database(self) -> None:
        """Migrate, create what a first caller needs, remember the credentials reported.

        One process for both commands: each start of Django costs a second.
        """
        output = self._manage("migrate", "bootstrap").strip()
        try:
            created: dict[str, Any] = json.loads(output.rsplit("\n", 1)[-1])
        except ValueError:
            raise EmbeddedError(f"`manage.py bootstrap` printed no JSON: {output!r}") from None
        known = self.state.secrets()
        # Null: it exists in this database already, and we do not know it.
        reported = {name: created[name] or known.get(name) for name in CREDENTIALS}
        unknown = sorted(name for name, value in reported.items() if not value)
        if unknown:
            raise EmbeddedError(
                f"this database already has a {' and a '.join(unknown)} that {self.state.root} does"
                " not know: set LLMQUEUE_API_KEY and LLMQUEUE_ADMIN_PASSWORD"
            )
        self._credentials = {name: str(value) for name, value in reported.items()}
        if {**known, **self._credentials} != known:
            self.state.save("secrets", {**known, **self._credentials})

    def _start_applications(self) -> None:
        """Web and worker first, as they are what a caller needs; then the rest."""
        with step("start web and worker"):
            for name in FIRST_APPLICATIONS:
                self.supervisor.start_program(name)
            self._wait("web", lambda: readiness.http_ok(f"{self.parts.url}/health/ready"))
            self._wait("worker", lambda: self._answers("llm"))
        for name in self.supervisor.names:
            if name not in FIRST_APPLICATIONS and not self._is_service(name):
                self.supervisor.start_program(name)

    def wait_for_rest(self) -> None:
        """Wait until housekeeping, beat and Flower run too.

        Raises:
            PartFailed: one of the parts ended.
        """
        flower = self.parts.environment["LLMQUEUE_FLOWER_INTERNAL_URL"]
        self._wait("housekeeping", lambda: self._answers("housekeeping"))
        self._wait("flower", lambda: readiness.http_ok(f"{flower}/flower/healthcheck"))
        for name, status in self.supervisor.status().items():
            if not status.alive:
                raise PartFailed(f"{name} ended ({status.description})", self.state.log(name))

    def _answers(self, worker: str) -> bool:
        return readiness.workers_answer(self.parts.environment["REDIS_URL"], [worker])

    def _wait(self, name: str, check: Callable[[], bool]) -> None:
        readiness.until(check, supervisor=self.supervisor, name=name, log=self.state.log(name))

    def _is_service(self, name: str) -> bool:
        return name in self.parts.named("postgres", "valkey", "llm")

    def _write_exports(self) -> None:
        lines = (f"export {name}={shlex.quote(value)}\n" for name, value in self.exports.items())
        write_private(self.state.env, "".join(lines))

    def watch(self) -> None:
        """Report parts that end and revive those that were given up, until interrupted.

        Raises:
            PartFailed: supervisord itself ended.
        """
        known = self.supervisor.status()
        revive_at: dict[str, float] = {}
        while True:
            time.sleep(WATCH_SECONDS)
            now = self.supervisor.status()
            for name, status in now.items():
                self._report(known[name], status)
                if status.state in ("FATAL", "EXITED"):
                    due = revive_at.setdefault(name, time.monotonic() + REVIVE_SECONDS)
                    if time.monotonic() >= due:
                        del revive_at[name]
                        self._revive(name)
                else:
                    revive_at.pop(name, None)
            known = now

    def _revive(self, name: str) -> None:
        try:
            self.supervisor.start_program(name)
        except PartFailed as failure:
            complain(str(failure))

    def _report(self, before: Status, status: Status) -> None:
        log = self.state.log(status.name)
        if status.state == "FATAL" and before.state != "FATAL":
            complain(f"{status.name} ends again and again; next try in {REVIVE_SECONDS:.0f} s", log)
        elif status.alive and status.started_at != before.started_at:
            say(f"  {status.name} had ended and was started again; see {log}")

    def stop(self) -> None:
        """End everything in order: apps, then services."""
        self.state.env.unlink(missing_ok=True)
        if self._supervisor is None or self._supervisor.pid is None:
            return
        with step("stop"):
            self._supervisor.stop()


def _title(name: str, port: int, server: object | None) -> str:
    return f"{name} on port {port}" if server else f"{name} of your environment"
