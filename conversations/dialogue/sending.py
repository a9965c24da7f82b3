"""From a client's draft to a stored message with a queued job, one or ten thousand at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from balancing.endpoints.registry import default_model, known_models
from conversations.access import users as people
from conversations.access.keys import Caller
from conversations.access.visibility import visible_conversations
from conversations.dialogue import history, prompting
from conversations.dialogue.truncation import DoesNotFit
from conversations.dialogue.turns import in_flight, refresh_prompt, touch
from conversations.errors import (
    ContextTooLong,
    ConversationClosed,
    ConversationNotFound,
    NoModel,
    UserMismatch,
)
from conversations.models import Conversation, Message, User
from conversations.priority import analysis, rulebook, rules
from conversations.priority.classify import Asked, Choice, Standing, choose
from conversations.priority.rules import Rule
from scheduling import services as scheduling
from scheduling.errors import UnknownModel
from scheduling.models import Api, Held, Priority, Source, Status
from scheduling.specs import JobSpec, Receipt
from scheduling.submit import estimates
from scheduling.submit.bulk import submit_bulk
from scheduling.waiting import admission
from stores.ids import uuid7

SOURCE = Source.MESSAGE
TAKES_MESSAGES = (Conversation.State.ACTIVE, Conversation.State.INACTIVE)


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageDraft:
    """A message that a client wants answered, checked but not stored."""

    content: str
    timeout_seconds: float
    user_id: str | None = None
    conversation_id: UUID | None = None
    priority: Priority | None = None
    model: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    scheduled_at: datetime | None = None


def send(*, caller: Caller, draft: MessageDraft, request_id: str = "") -> Message:
    """Store a message and queue its request.

    Raises:
        ConversationsError, SchedulingError: nothing was stored.
    """
    people.tenant_flow(caller=caller)
    with transaction.atomic():
        batch = _prepare(caller, [draft], request_id)
        seen = admission.current()
        seen.check([spec for _, spec in batch.turns])
        message, spec = batch.turns[0]
        _store(batch.turns)
        receipt = scheduling.submit(spec)
        seen.record([spec], [receipt])
        _refresh(batch, [receipt])
    return message


def send_many(
    *, caller: Caller, drafts: Sequence[MessageDraft], request_id: str = ""
) -> list[Message]:
    """Store a batch and queue it as backlog: all of it or, when something is refused, nothing."""
    people.tenant_flow(caller=caller)
    with transaction.atomic():
        batch = _prepare(caller, drafts, request_id)
        seen = admission.current()
        seen.check([spec for _, spec in batch.turns], batch=True)
        # Submitting comes last: it locks the tenant's fair tags until the commit.
        _store(batch.turns)
        backlog = (replace(spec, backlog=True) for _, spec in batch.turns)
        parts = submit_bulk(backlog, seen=seen)
        _refresh(batch, [receipt for part in parts for receipt in part])
    return [message for message, _ in batch.turns]


@dataclass(frozen=True, slots=True)
class _Batch:
    """What is to be stored, and the conversations that had a turn in flight just before."""

    turns: list[tuple[Message, JobSpec]]
    busy: set[UUID]


def _refresh(batch: _Batch, receipts: Sequence[Receipt]) -> None:
    """Rebuild the prompts of turns that wait for no other although one had been in flight.

    Workers finish jobs without asking for the conversation's lock: a turn that ended after the
    history was read and before its successor was stored is missing from the successor's prompt.
    """
    for (message, _), receipt in zip(batch.turns, receipts, strict=True):
        first = receipt.status == Status.QUEUED or receipt.held_reason == Held.BACKLOG
        if first and message.conversation_id in batch.busy:
            refresh_prompt(message=message)


def _prepare(caller: Caller, drafts: Sequence[MessageDraft], request_id: str) -> _Batch:
    """Messages and job specifications, with a fixed number of queries however many drafts."""
    expected = estimates.current()
    talks = _locked_conversations(caller, drafts)
    _check_conversations(drafts, talks)
    names = [_user_name(draft, talks) for draft in drafts]
    users = people.named(caller=caller, names=names)
    models = _models(drafts, talks)
    flows = people.flows_of(caller=caller, users=users.values())
    busy = in_flight(conversation_ids=list(talks))
    pasts = history.of(conversations=list(talks.values()))
    applying = rulebook.current().of(caller.tenant_id)
    turns: list[tuple[Message, JobSpec]] = []
    begun: set[UUID] = set()
    for draft, name, model in zip(drafts, names, models, strict=True):
        talk = talks.get(draft.conversation_id) if draft.conversation_id else None
        # A turn behind another of this batch gets its history when it is released: four hundred
        # messages of one long conversation would store it four hundred times.
        first = talk is not None and talk.pk not in begun
        if talk is not None:
            begun.add(talk.pk)
        message = _message(caller, draft, users[name], talk)
        body, history_told = _prompt(
            draft,
            len(turns) if len(drafts) > 1 else None,
            model=model,
            context=talk.context if talk else "",
            history=pasts.get(talk.pk, []) if talk and (first or draft.scheduled_at) else [],
        )
        if talk is not None:
            message.analysis |= {"history": history_told}
        choice = _choice(caller, draft, message, applying)
        flow_id = flows[message.user_id]
        cost = expected.cost(body, flow_id=flow_id, model=model)
        spec = _spec(caller, draft, message, model, body, flow_id, cost, choice, request_id)
        turns.append((message, spec))
    return _Batch(turns, busy)


def _prompt(
    draft: MessageDraft,
    index: int | None,
    *,
    model: str,
    context: str,
    history: Sequence[prompting.Turn],
) -> tuple[str, dict[str, Any]]:
    try:
        made = prompting.prompt(
            model=model, context=context, history=history, content=draft.content
        )
    except DoesNotFit:
        reason = f"the conversation no longer fits the context of {model}"
        raise ContextTooLong(reason, index=index) from None
    return made.body, made.history


def _locked_conversations(
    caller: Caller, drafts: Sequence[MessageDraft]
) -> dict[UUID, Conversation]:
    wanted = {draft.conversation_id for draft in drafts if draft.conversation_id}
    if not wanted:
        return {}
    rows = (
        visible_conversations(caller)
        .filter(pk__in=wanted)
        .select_related("user")
        .select_for_update(of=("self",))
        .order_by("pk")
    )
    return {row.pk: row for row in rows}


def _check_conversations(drafts: Sequence[MessageDraft], talks: dict[UUID, Conversation]) -> None:
    now = timezone.now()
    for index, draft in enumerate(drafts):
        if draft.conversation_id is None:
            continue
        place = index if len(drafts) > 1 else None
        talk = talks.get(draft.conversation_id)
        if talk is None:
            raise ConversationNotFound("there is no such conversation", index=place)
        if talk.state not in TAKES_MESSAGES:
            raise ConversationClosed(f"the conversation is {talk.state}", index=place)
        if talk.expires_at and talk.expires_at <= now:
            raise ConversationClosed("the conversation has expired", index=place)


def _user_name(draft: MessageDraft, talks: dict[UUID, Conversation]) -> str | None:
    talk = talks.get(draft.conversation_id) if draft.conversation_id else None
    if talk is None:
        return draft.user_id
    if draft.user_id not in (None, talk.user.external_id):
        raise UserMismatch("the conversation belongs to another user")
    return talk.user.external_id


def _models(drafts: Sequence[MessageDraft], talks: dict[UUID, Conversation]) -> list[str]:
    """The model of each draft: its own, its conversation's, or the default."""
    known = known_models(Api.CHAT)
    default = default_model()
    chosen = []
    for draft in drafts:
        talk = talks.get(draft.conversation_id) if draft.conversation_id else None
        model = draft.model or (talk.model if talk else "") or default
        if not model:
            raise NoModel("no endpoint is registered")
        if model not in known:
            raise UnknownModel(model)
        chosen.append(model)
    return chosen


def _message(caller: Caller, draft: MessageDraft, user: User, talk: Conversation | None) -> Message:
    # The message and its job share one id, so that either leads to the other without a join.
    identifier = uuid7()
    return Message(
        id=identifier,
        job_id=identifier,
        tenant_id=caller.tenant_id,
        user=user,
        conversation=talk,
        role=Message.Role.USER,
        content=draft.content,
        metadata=draft.metadata,
        analysis=analysis.analyse(draft.content),
    )


def _spec(
    caller: Caller,
    draft: MessageDraft,
    message: Message,
    model: str,
    body: str,
    flow_id: int,
    cost: float,
    choice: Choice,
    request_id: str,
) -> JobSpec:
    now = timezone.now()
    due_at = draft.scheduled_at if draft.scheduled_at and draft.scheduled_at > now else None
    return JobSpec(
        id=message.pk,
        level=choice.level,
        priority_reason=choice.reason,
        model=model,
        body=body,
        source=SOURCE,
        stream=True,
        tenant_id=caller.tenant_id,
        user_id=message.user_id,
        flow_id=flow_id,
        cost=cost,
        due_at=due_at,
        deadline_at=(due_at or now) + timedelta(seconds=draft.timeout_seconds),
        sequence_key=message.conversation_id,
        affinity=message.conversation_id.hex if message.conversation_id else "",
        allow_fallback=caller.allow_fallback,
        request_id=request_id[:64],
    )


def _choice(
    caller: Caller, draft: MessageDraft, message: Message, applying: Sequence[Rule]
) -> Choice:
    own = message.user.default_priority
    return choose(
        _asked(draft, message.conversation),
        applying=applying,
        about=lambda: rules.subject(draft.content, draft.metadata),
        standing=Standing(
            user_default=None if own is None else Priority(own),
            tenant_default=caller.default_level,
            highest=caller.highest_level,
        ),
    )


def _asked(draft: MessageDraft, talk: Conversation | None) -> Asked | None:
    """The message's own priority, else its conversation's: both are the client's word."""
    if draft.priority is not None:
        return Asked(draft.priority, "body priority")
    if talk is not None and talk.priority is not None:
        return Asked(Priority(talk.priority), "conversation")
    return None


def _store(turns: Sequence[tuple[Message, JobSpec]]) -> None:
    messages = [message for message, _ in turns]
    Message.objects.bulk_create(messages, batch_size=1000)
    counts: dict[UUID, int] = {}
    for message in messages:
        if message.conversation_id:
            counts[message.conversation_id] = counts.get(message.conversation_id, 0) + 1
    for conversation_id, added in counts.items():
        touch(conversation_id, added, revive=True)
