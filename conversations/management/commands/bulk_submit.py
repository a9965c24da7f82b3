"""`manage.py bulk_submit FILE`: queue a file of requests for a tenant; a million are no problem."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, BinaryIO

import orjson
from django.core.management.base import BaseCommand, CommandError, CommandParser

from conversations.doors import bulk
from conversations.doors.bulk import Accepted, BadLine, Terms
from conversations.errors import ConversationsError
from conversations.models import Tenant, User
from scheduling.errors import SchedulingError
from scheduling.models import Priority
from stores.memory import Memory, kept

REPORT_SECONDS = 2.0


class Command(BaseCommand):
    help = (
        "Queue a file of requests, one JSON object a line: chat requests, messages, or lines of "
        "OpenAI's batch format. They wait as backlog and trickle in as their level has room."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", help="JSON lines; - is standard input")
        parser.add_argument("--tenant", required=True, help="the tenant's name")
        parser.add_argument("--user", help="the tenant's name for the user")
        parser.add_argument("--priority", default="low", choices=Priority.labels)
        parser.add_argument("--model", default="", help="for lines that name none")
        parser.add_argument(
            "--timeout", type=float, metavar="SECONDS", help="to the answer (default: no limit)"
        )
        parser.add_argument(
            "--queue-now", action="store_true", help="join the queue at once, not as backlog"
        )
        parser.add_argument(
            "--ids", metavar="FILE", help="append {line, job_id, custom_id} of what is stored"
        )
        parser.add_argument("--skip", type=int, default=0, help="begin after so many lines")
        parser.add_argument("--check", action="store_true", help="read and check, store nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        terms = _terms(options)
        # Each line needs the models, each message the rules: they are read every few seconds.
        with kept(Memory()), _opened(options["file"]) as lines:
            requests = bulk.read(lines, terms, skip=options["skip"])
            try:
                if options["check"]:
                    count = sum(1 for _ in requests)
                    self.stdout.write(f"{count:,} requests, every line is one")
                else:
                    self._store(requests, terms, options["ids"])
            except BadLine as error:
                raise CommandError(str(error)) from None

    def _store(self, requests: Iterator[bulk.Line], terms: Terms, ids: str | None) -> None:
        began = reported = time.monotonic()
        count = last = 0
        with ExitStack() as stack:
            receipt = stack.enter_context(open(ids, "ab")) if ids else None  # noqa: PTH123
            try:
                for accepted in bulk.store(requests, terms):
                    count += len(accepted)
                    last = max(last, accepted[-1].number)
                    if receipt is not None:
                        receipt.write(b"".join(map(_receipt, accepted)))
                        receipt.flush()
                    if time.monotonic() - reported >= REPORT_SECONDS:
                        reported = time.monotonic()
                        self.stderr.write(f"{count:,} stored, {count / (reported - began):,.0f}/s")
            except (BadLine, SchedulingError, ConversationsError) as error:
                go_on = f"; {count:,} are stored: go on with --skip {last}" if count else ""
                raise CommandError(f"{error}{go_on}") from None
        seconds = max(time.monotonic() - began, 0.001)
        how = "as backlog" if terms.backlog else "in the queue"
        self.stdout.write(
            f"{count:,} requests stored {how}: {seconds:.1f} s, {count / seconds:,.0f}/s"
        )


def _terms(options: dict[str, Any]) -> Terms:
    tenant = Tenant.objects.filter(name=options["tenant"]).first()
    if tenant is None:
        raise CommandError(f"there is no tenant {options['tenant']!r}")
    if options["timeout"] is not None and options["timeout"] <= 0:
        raise CommandError("--timeout must be above 0")
    user = None
    if options["user"]:
        user, _ = User.objects.get_or_create(tenant=tenant, external_id=options["user"])
    return Terms(
        caller=bulk.caller_for(tenant, user),
        level=Priority.named(options["priority"]),
        model=options["model"],
        timeout_seconds=options["timeout"],
        backlog=not options["queue_now"],
    )


@contextmanager
def _opened(name: str) -> Iterator[BinaryIO]:
    if name == "-":
        yield sys.stdin.buffer
        return
    try:
        file = open(name, "rb")  # noqa: PTH123, SIM115 - closed below
    except OSError as error:
        raise CommandError(str(error)) from None
    with file:
        yield file


def _receipt(accepted: Accepted) -> bytes:
    return orjson.dumps(
        {
            "line": accepted.number,
            "job_id": str(accepted.job_id),
            "custom_id": accepted.custom_id,
        },
        option=orjson.OPT_APPEND_NEWLINE,
    )
