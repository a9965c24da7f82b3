"""How does a file of requests, one JSON object a line, become jobs? As a stream, some at a time.

A line is a chat request, a completion request (`prompt`), a line of OpenAI's batch format (`body`,
`custom_id`), or a message (`content`), which is stored as a message that the REST API shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby, islice
from uuid import UUID

import orjson
from django.utils import timezone

from balancing.endpoints.registry import known_models
from conversations.access import flows
from conversations.access.keys import Caller
from conversations.dialogue import sending
from conversations.dialogue.drafts import MessageDraft
from conversations.doors.lean.refusals import Refusal
from conversations.doors.openai import request as openai
from conversations.doors.rest.protocol.refusals import RestError
from conversations.doors.rest.requests import drafts
from conversations.models import Tenant, User
from conversations.priority.level_choice import Asked, UnknownPriority, asked_level
from llmqueue_project.config import configuration
from scheduling.models import Api, Priority, Source
from scheduling.specs import JobSpec
from scheduling.submit import estimates
from scheduling.submit.bulk import submit_bulk

# The most lines that are held in memory before they are stored.
LINES_AT_ONCE = 5000


class BadLine(ValueError):
    """A line that is not a request; its number counts from 1."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(f"line {number}: {message}")
        self.number = number


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What holds for each line that does not say otherwise.

    Attributes:
        timeout_seconds: from now to the answer; None for no limit.
        backlog: jobs join the queue as their level has room, and not at once.
    """

    caller: Caller
    level: Priority
    model: str = ""
    timeout_seconds: float | None = None
    backlog: bool = True


@dataclass(frozen=True, slots=True)
class Accepted:
    """A stored line: its number, its job, and its `custom_id`."""

    number: int
    job_id: UUID
    custom_id: str


@dataclass(frozen=True, slots=True)
class Line:
    """A checked line: exactly one of `spec` and `draft`."""

    number: int
    custom_id: str
    spec: JobSpec | None = None
    draft: MessageDraft | None = None


def caller_for(tenant: Tenant, user: User | None = None) -> Caller:
    """An operator who acts for a tenant, or for one of its users."""
    return Caller(
        key_id=UUID(int=0),
        tenant_id=tenant.pk,
        tenant_name=tenant.name,
        tenant_weight=tenant.weight,
        user_level=None,
        default_level=Priority(tenant.default_priority),
        highest_level=Priority(tenant.highest_priority),
        user_id=user.pk if user else None,
        user_name=user.external_id if user else "",
        operator=True,
    )


def read(lines: Iterable[bytes], terms: Terms, *, skip: int = 0) -> Iterator[Line]:
    """The requests of a file. Empty lines are skipped.

    Raises:
        BadLine: a line is not a request.
    """
    flow_id = flows.stored(flows.of_caller(terms.caller))
    for number, raw in enumerate(islice(lines, skip, None), skip + 1):
        if raw.strip():
            try:
                yield _line(number, raw, terms, flow_id)
            except Refusal as error:
                raise BadLine(
                    number, f"{error.param}: {error}" if error.param else str(error)
                ) from None
            except RestError as error:
                raise BadLine(
                    number, f"{error.field}: {error}" if error.field else str(error)
                ) from None
            except UnknownPriority as error:
                raise BadLine(number, str(error)) from None


def store(lines: Iterable[Line], terms: Terms) -> Iterator[list[Accepted]]:
    """Store the lines, some thousand at a time; yields what has been stored.

    Raises:
        BadLine, SchedulingError, ConversationsError: only what was yielded is stored.
    """
    for is_message, run in groupby(lines, key=lambda line: line.draft is not None):
        # In the order of the file: what is stored is always its beginning.
        while part := list(islice(run, LINES_AT_ONCE)):
            yield from _messages(part, terms) if is_message else _jobs(part)


def _messages(part: Sequence[Line], terms: Terms) -> Iterator[list[Accepted]]:
    sent = [line.draft for line in part if line.draft is not None]
    rows = sending.send_many(caller=terms.caller, drafts=sent)
    yield [
        Accepted(line.number, row.pk, line.custom_id) for line, row in zip(part, rows, strict=True)
    ]


def _jobs(part: Sequence[Line]) -> Iterator[list[Accepted]]:
    remaining = iter(part)
    for receipts in submit_bulk(line.spec for line in part if line.spec is not None):
        yield [
            Accepted(line.number, receipt.job_id, line.custom_id)
            for receipt, line in zip(receipts, remaining, strict=False)
        ]


def _line(number: int, raw: bytes, terms: Terms, flow_id: int) -> Line:
    try:
        fields = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise BadLine(number, f"not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise BadLine(number, "not a JSON object")
    custom_id = fields.pop("custom_id", "")
    if not isinstance(custom_id, str):
        raise BadLine(number, "custom_id must be text")
    if isinstance(fields.get("body"), dict):
        fields = fields["body"]
    if "content" in fields:
        return Line(number, custom_id, draft=_draft(fields, terms))
    is_completion = "prompt" in fields and "messages" not in fields
    api = Api.COMPLETION if is_completion else Api.CHAT
    return Line(number, custom_id, spec=_spec(number, api, fields, terms, flow_id))


def _draft(fields: dict[str, object], terms: Terms) -> MessageDraft:
    draft = drafts.message(fields)
    seconds = draft.timeout_seconds
    if "timeout" not in fields:
        seconds = terms.timeout_seconds or configuration().scheduling.max_timeout_seconds
    return replace(
        draft,
        priority=draft.priority if draft.priority is not None else terms.level,
        model=draft.model or terms.model,
        timeout_seconds=seconds,
    )


def _spec(number: int, api: Api, fields: dict[str, object], terms: Terms, flow_id: int) -> JobSpec:
    named = fields if fields.get("model") else fields | {"model": terms.model}
    # Nobody listens, so that a stream would be written for nobody.
    whole = {name: value for name, value in named.items() if not name.startswith("stream")}
    try:
        request = openai.parse(orjson.dumps(whole), api)
    except orjson.JSONEncodeError:
        raise BadLine(number, "nested too deeply") from None
    if request.model not in known_models():
        raise BadLine(number, f"no endpoint serves the model {request.model!r}")
    asked = asked_level(request.fields, "") or Asked(terms.level, "bulk submission")
    highest = terms.caller.highest_level
    return JobSpec(
        level=max(asked.level, highest),
        priority_reason=f"asked: {asked.by}",
        model=request.model,
        api=request.api,
        source=Source.OPENAI,
        body=request.upstream,
        tenant_id=terms.caller.tenant_id,
        user_id=terms.caller.user_id,
        flow_id=flow_id,
        cost=estimates.current().cost(
            request.upstream,
            flow_id=flow_id,
            model=request.model,
            max_tokens=request.max_tokens,
        ),
        deadline_at=_deadline(terms),
        backlog=terms.backlog,
    )


def _deadline(terms: Terms) -> datetime | None:
    if terms.timeout_seconds is None:
        return None
    return timezone.now() + timedelta(seconds=terms.timeout_seconds)
