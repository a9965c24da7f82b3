"""A file of requests, one JSON object a line, as jobs: read, checked and stored as it streams.

A line is a chat request, a completion request (`prompt`), a line of OpenAI's batch format (`body`,
`custom_id`), or a message (`content`), which is kept as a message and read back by the REST API.
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
from conversations.access import users as people
from conversations.access.keys import Caller
from conversations.dialogue import sending
from conversations.dialogue.sending import MessageDraft
from conversations.doors.lean.errors import ApiError
from conversations.doors.openai import request as openai
from conversations.doors.rest import drafts
from conversations.doors.rest.errors import ApiError as RestError
from conversations.models import Tenant
from conversations.priority.classify import Asked, UnknownPriority, asked_level
from llmqueue_project.config import configuration
from scheduling.models import Api, Priority, Source
from scheduling.specs import JobSpec
from scheduling.submit import estimates
from scheduling.submit.bulk import submit_bulk

# Lines that are read before they are stored; memory is that of these.
LINES_AT_ONCE = 5000


class BadLine(ValueError):
    """A line that is no request; the number counts from 1."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(f"line {number}: {message}")
        self.number = number


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What holds for every line that does not say otherwise.

    Attributes:
        timeout_seconds: from now to the answer; None for no limit.
        backlog: trickle in as the level has room, instead of joining the queue at once.
    """

    caller: Caller
    level: Priority
    model: str = ""
    timeout_seconds: float | None = None
    backlog: bool = True


@dataclass(frozen=True, slots=True)
class Accepted:
    """A line that is stored: its number, its job, and the `custom_id` that it named."""

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


def caller_for(tenant: Tenant, user_id: UUID | None = None) -> Caller:
    """An operator who acts for a tenant."""
    return Caller(
        key_id=UUID(int=0),
        tenant_id=tenant.pk,
        tenant_name=tenant.name,
        tenant_weight=tenant.weight,
        user_level=None,
        default_level=Priority(tenant.default_priority),
        highest_level=Priority(tenant.highest_priority),
        user_id=user_id,
        operator=True,
    )


def read(lines: Iterable[bytes], terms: Terms, *, skip: int = 0) -> Iterator[Line]:
    """The requests of a file, empty lines passed over.

    Raises:
        BadLine
    """
    flow_id = people.tenant_flow(caller=terms.caller)
    for number, raw in enumerate(islice(lines, skip, None), skip + 1):
        if raw.strip():
            try:
                yield _line(number, raw, terms, flow_id)
            except ApiError as error:
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
    """Store what is read, some thousand at a time; yields what is then safe.

    Raises:
        BadLine, SchedulingError, ConversationsError: what was yielded before is stored.
    """
    for is_message, run in groupby(lines, key=lambda line: line.draft is not None):
        # In the order of the file, so that what is stored is always its beginning.
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
    api = Api.COMPLETION if "prompt" in fields and "messages" not in fields else Api.CHAT
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


def _spec(number: int, api: str, fields: dict[str, object], terms: Terms, flow_id: int) -> JobSpec:
    named = fields if fields.get("model") else fields | {"model": terms.model}
    # Nobody listens: a streamed answer would only be kept for nobody.
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
        api=Api(request.api),
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
