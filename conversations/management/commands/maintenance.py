"""`manage.py maintenance ACTION [NAME]`: pause and resume intake, a level, a tenant; drain; status.

This app has the command because it knows the names of tenants.
"""

from __future__ import annotations

import getpass
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from conversations.models import Tenant
from scheduling import pauses
from scheduling.errors import NotPaused
from scheduling.models import Flow, Pause, Priority

POLL_SECONDS = 0.5
NAMED = ("pause-level", "resume-level", "pause-tenant", "resume-tenant")
PLAIN = ("pause-intake", "resume-intake", "drain", "resume-all", "status")


class Command(BaseCommand):
    help = "Pause or resume intake, a level or a tenant; drain; say what is paused."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=[*PLAIN, *NAMED])
        parser.add_argument("name", nargs="?", default="", help="the level, or the tenant's name")
        parser.add_argument("--reason", default="", help="shown to clients and operators")
        parser.add_argument(
            "--wait", type=float, metavar="SECONDS", help="drain: until nothing runs, at most so"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        action, name = options["action"], options["name"]
        if bool(name) != (action in NAMED):
            needs = "a name" if action in NAMED else "no name"
            raise CommandError(f"{action} takes {needs}")
        why = {"reason": options["reason"], "operator": _operator()}
        try:
            self.stdout.write(self._do(action, name, why, options["wait"]))
        except NotPaused as error:
            raise CommandError(str(error)) from None

    def _do(self, action: str, name: str, why: dict[str, str], wait: float | None) -> str:
        match action:
            case "pause-intake":
                pauses.pause_intake(**why)
                return "intake is paused: both doors answer 503 within two seconds"
            case "resume-intake":
                pauses.resume_intake()
                return "intake is open"
            case "pause-level":
                pauses.pause_level(level=_level(name), **why)
                return f"level {name} is paused: what is queued there waits"
            case "resume-level":
                pauses.resume_level(level=_level(name))
                return f"level {name} runs"
            case "pause-tenant":
                held = pauses.pause_tenant(tenant_id=_tenant(name).pk, **why)
                return f"tenant {name} is paused: {held} waiting requests are held"
            case "resume-tenant":
                queued = pauses.resume_tenant(tenant_id=_tenant(name).pk)
                return f"tenant {name} runs: {queued} requests are queued again"
            case "drain":
                pauses.drain(**why)
                return self._drained(wait)
            case "resume-all":
                pauses.resume_all()
                return "nothing is paused"
            case _:
                return _status()

    def _drained(self, wait: float | None) -> str:
        deadline = time.monotonic() + (wait or 0.0)
        while (running := pauses.running()) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        if running and wait is not None:
            raise CommandError(f"{running} requests still run after {wait:g} s")
        return f"draining: {running} requests run, nothing new starts; `resume-all` ends it"


def _status() -> str:
    tenants = {str(pk): name for pk, name in Tenant.objects.values_list("pk", "name")}
    flows = {str(pk): name for pk, name in Flow.objects.values_list("pk", "name")}
    named = {Pause.Scope.TENANT.value: tenants, Pause.Scope.FLOW.value: flows}
    lines = []
    for row in Pause.objects.all():
        name = named.get(row.scope, {}).get(row.key, row.key)
        who = f" by {row.operator}" if row.operator else ""
        why = f": {row.reason}" if row.reason else ""
        since = row.since.isoformat(timespec="seconds")
        lines.append(f"{row.scope} {name}".strip() + f" paused since {since}{who}{why}")
    lines.append(f"{pauses.running()} requests run")
    return "\n".join(lines if len(lines) > 1 else ["nothing is paused", *lines])


def _level(name: str) -> Priority:
    try:
        return Priority.named(name)
    except ValueError as error:
        raise CommandError(str(error)) from None


def _tenant(name: str) -> Tenant:
    tenant = Tenant.objects.filter(name=name).first()
    if tenant is None:
        raise CommandError(f"there is no tenant {name!r}")
    return tenant


def _operator() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return ""
