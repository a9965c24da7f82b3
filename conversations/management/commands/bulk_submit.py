"""`manage.py bulk_submit FILE`: queue a file of requests for a tenant; a million are no problem."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, BinaryIO

import orjson
from django.core.management.base import BaseCommand, CommandError, CommandParser

from conversations.doors import batch_lines, bulk
from conversations.doors.batch_lines import BadLine, Line, Terms
from conversations.doors.bulk import Accepted
from conversations.errors import ConversationsError
from conversations.models import Tenant, User
from scheduling.errors import SchedulingError
from scheduling.models import Priority
from stores.memory import Memory, kept

REPORT_SECONDS = 2.0
# Refused lines that are told; all are counted.
MOST_TOLD = 20


class Command(BaseCommand):
    help = (
        "Queue a file of requests, one JSON object a line: chat requests, messages, or lines of "
        "OpenAI's batch format. They wait as backlog and trickle in as their level has room. A "
        "line that is refused is told, and stops no other."
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
            "--ids",
            metavar="FILE",
            help="append {line, job_id, custom_id} of what is stored; errors of what is refused",
        )
        parser.add_argument("--skip", type=int, default=0, help="begin after so many lines")
        parser.add_argument("--check", action="store_true", help="read and check, store nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        terms = _terms(options)
        refused = Refused(self.stderr.write, keeps=bool(options["ids"]) and not options["check"])
        # Each line needs the models, each message the rules: they are read every few seconds.
        with kept(Memory()), _opened(options["file"]) as lines:
            requests = bulk.read(lines, terms, refused=refused.add, skip=options["skip"])
            if options["check"]:
                self.stdout.write(f"{sum(1 for _ in requests):,} requests")
            else:
                self._store(requests, refused, terms, options["ids"])
        if refused.count:
            raise CommandError(f"{refused.count:,} lines are refused; the first: {refused.first}")

    def _store(
        self, requests: Iterator[Line], refused: Refused, terms: Terms, ids: str | None
    ) -> None:
        began = reported = time.monotonic()
        count = last = 0
        with ExitStack() as stack:
            receipts = stack.enter_context(open(ids, "ab")) if ids else None  # noqa: PTH123
            try:
                for accepted in bulk.store(requests, terms):
                    count += len(accepted)
                    last = max(last, accepted[-1].number)
                    _note(receipts, [*map(_receipt, accepted), *refused.up_to(last)])
                    if time.monotonic() - reported >= REPORT_SECONDS:
                        reported = time.monotonic()
                        self.stderr.write(f"{count:,} stored, {count / (reported - began):,.0f}/s")
            except (SchedulingError, ConversationsError) as error:
                go_on = f"; {count:,} are stored: go on with --skip {last}" if count else ""
                raise CommandError(f"{error}{go_on}") from None
            _note(receipts, refused.up_to(None))
        seconds = max(time.monotonic() - began, 0.001)
        how = "as backlog" if terms.backlog else "in the queue"
        self.stdout.write(
            f"{count:,} requests stored {how}: {seconds:.1f} s, {count / seconds:,.0f}/s"
        )


class Refused:
    """The lines that are refused: the first of them are told, each is noted once.

    Args:
        tell: writes a line for people.
        keeps: whether they are to be noted.
    """

    def __init__(self, tell: Callable[[str], Any], *, keeps: bool) -> None:
        self.count = 0
        self.first = ""
        self._tell = tell
        self._keeps = keeps
        self._waiting: list[BadLine] = []

    def add(self, line: BadLine) -> None:
        self.count += 1
        self.first = self.first or str(line)
        if self.count <= MOST_TOLD:
            self._tell(str(line))
        if self._keeps:
            self._waiting.append(line)

    def up_to(self, number: int | None) -> list[dict[str, Any]]:
        """What is to be noted of the lines up to this one, or of all; each is given once.

        Later ones wait: if the command is to go on behind this line, they come again.
        """
        noted = [each for each in self._waiting if number is None or each.number <= number]
        self._waiting = self._waiting[len(noted) :]
        return [_refusal(each) for each in noted]


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
        caller=batch_lines.caller_for(tenant, user),
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


def _receipt(accepted: Accepted) -> dict[str, Any]:
    return {
        "line": accepted.number,
        "job_id": str(accepted.job_id),
        "custom_id": accepted.custom_id,
    }


def _refusal(line: BadLine) -> dict[str, Any]:
    return {
        "line": line.number,
        "job_id": None,
        "custom_id": line.custom_id,
        "status_code": line.status,
        "error": {"code": line.code, "message": line.message, "param": line.param},
    }


def _note(file: BinaryIO | None, notes: list[dict[str, Any]]) -> None:
    if file is not None:
        notes.sort(key=lambda note: note["line"])
        file.writelines(orjson.dumps(note, option=orjson.OPT_APPEND_NEWLINE) for note in notes)
        file.flush()
