"""Which message and which job does a draft become?

What the drafts of a batch need is read first: the number of queries does not depend on the number
of drafts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.utils import timezone

from balancing.endpoints.registry import declared_apis, default_model
from conversations.access import flows
from conversations.access.flows import FlowRow
from conversations.access.keys import Caller
from conversations.access.users import users_named
from conversations.access.visibility import visible_conversations
from conversations.dialogue import history, prompting
from conversations.dialogue.drafts import MessageDraft
from conversations.dialogue.prompting import Prompt
from conversations.dialogue.truncation import DoesNotFit, Turn
from conversations.dialogue.turns import in_flight
from conversations.errors import (
    ContextTooLong,
    ConversationClosed,
    ConversationNotFound,
    NoModel,
    UserMismatch,
)
from conversations.models import Conversation, Message, User
from conversations.priority import analysis, rulebook, rules
from conversations.priority.level_choice import Asked, Choice, Standing, choose
from conversations.priority.rules import Rule
from scheduling.errors import UnknownModel
from scheduling.models import Api, Priority, Source
from scheduling.specs import JobSpec
from scheduling.submit import estimates
from scheduling.submit.estimates import Estimates
from stores.ids import uuid7

TAKES_MESSAGES = (Conversation.State.ACTIVE, Conversation.State.INACTIVE)
Conversations = Mapping[UUID, Conversation]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A message that is to be stored, and the job that answers it."""

    message: Message
    spec: JobSpec


@dataclass(frozen=True, slots=True)
class Batch:
    """What is to be stored; `busy` conversations had a turn in flight just before."""

    turns: list[Prepared]
    busy: set[UUID]


@dataclass(frozen=True, slots=True)
class _Given:
    """What holds for all drafts of a batch."""

    caller: Caller
    request_id: str
    applying: Sequence[Rule]
    flow_ids: Mapping[UUID, int]
    expected: Estimates


def prepare(
    caller: Caller,
    drafts: Sequence[MessageDraft],
    *,
    request_id: str,
    known_flows: Mapping[FlowRow, int],
) -> Batch:
    """The messages and jobs of these drafts. Locks their conversations.

    Raises:
        ConversationsError, UnknownModel: only new users and flows were stored.
    """
    expected = estimates.current()
    conversations = _locked(caller, drafts)
    _check_open(drafts, conversations)
    names = [_user_name(draft, conversations) for draft in drafts]
    users = users_named(caller=caller, names=names)
    models = _models(drafts, conversations)
    flow_ids = flows.ids_of(caller=caller, users=users.values(), known=known_flows)
    busy = in_flight(conversation_ids=list(conversations))
    pasts = history.of(conversations=list(conversations.values()))
    applying = rulebook.current().of(caller.tenant_id)
    given = _Given(caller, request_id, applying, flow_ids, expected)
    turns: list[Prepared] = []
    begun: set[UUID] = set()
    for draft, name, model in zip(drafts, names, models, strict=True):
        conversation = _conversation(draft, conversations)
        message = _message(caller, draft, users[name], conversation)
        # A turn behind another of this batch gets its history when it is released. Otherwise four
        # hundred messages of one long conversation would store it four hundred times.
        needs_history = draft.conversation_id not in begun or draft.scheduled_at is not None
        past = pasts.get(draft.conversation_id, ()) if draft.conversation_id else ()
        place = len(turns) if len(drafts) > 1 else None
        prompt = _prompt(message, model, past if needs_history else (), place)
        if conversation is not None:
            begun.add(conversation.pk)
            message.analysis |= {"history": prompt.history}
        turns.append(Prepared(message, _spec(given, draft, message, model, prompt.body)))
    return Batch(turns, busy)


def _conversation(draft: MessageDraft, conversations: Conversations) -> Conversation | None:
    return conversations.get(draft.conversation_id) if draft.conversation_id else None


def _locked(caller: Caller, drafts: Sequence[MessageDraft]) -> dict[UUID, Conversation]:
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


def _check_open(drafts: Sequence[MessageDraft], conversations: Conversations) -> None:
    now = timezone.now()
    for index, draft in enumerate(drafts):
        if draft.conversation_id is None:
            continue
        place = index if len(drafts) > 1 else None
        conversation = conversations.get(draft.conversation_id)
        if conversation is None:
            raise ConversationNotFound("there is no such conversation", index=place)
        if conversation.state not in TAKES_MESSAGES:
            raise ConversationClosed(f"the conversation is {conversation.state}", index=place)
        if conversation.expires_at and conversation.expires_at <= now:
            raise ConversationClosed("the conversation has expired", index=place)


def _user_name(draft: MessageDraft, conversations: Conversations) -> str | None:
    conversation = _conversation(draft, conversations)
    if conversation is None:
        return draft.user_id
    if draft.user_id not in (None, conversation.user.external_id):
        raise UserMismatch("the conversation belongs to another user")
    return conversation.user.external_id


def _models(drafts: Sequence[MessageDraft], conversations: Conversations) -> list[str]:
    """The model of each draft: its own, its conversation's, or the default."""
    default = default_model()
    chosen = []
    for draft in drafts:
        conversation = _conversation(draft, conversations)
        model = draft.model or (conversation.model if conversation else "") or default
        if not model:
            raise NoModel("no endpoint is registered")
        chosen.append(model)
    for model in dict.fromkeys(chosen):
        if Api.CHAT not in declared_apis(model):
            raise UnknownModel(model)
    return chosen


def _message(
    caller: Caller, draft: MessageDraft, user: User, conversation: Conversation | None
) -> Message:
    # The message and its job share one id, so that either leads to the other without a join.
    identifier = uuid7()
    return Message(
        id=identifier,
        job_id=identifier,
        tenant_id=caller.tenant_id,
        user=user,
        conversation=conversation,
        role=Message.Role.USER,
        content=draft.content,
        metadata=draft.metadata,
        analysis=analysis.analyse(draft.content),
    )


def _prompt(message: Message, model: str, past: Sequence[Turn], place: int | None) -> Prompt:
    """
    Raises:
        ContextTooLong: the history does not fit, and the setting is to refuse that.
    """
    context = message.conversation.context if message.conversation else ""
    try:
        return prompting.prompt(model=model, context=context, history=past, content=message.content)
    except DoesNotFit:
        reason = f"the conversation no longer fits the context of {model}"
        raise ContextTooLong(reason, index=place) from None


def _spec(given: _Given, draft: MessageDraft, message: Message, model: str, body: str) -> JobSpec:
    now = timezone.now()
    due_at = draft.scheduled_at if draft.scheduled_at and draft.scheduled_at > now else None
    choice = _choice(given, draft, message)
    flow_id = given.flow_ids[message.user_id]
    return JobSpec(
        id=message.pk,
        level=choice.level,
        priority_reason=choice.reason,
        model=model,
        body=body,
        source=Source.MESSAGE,
        stream=True,
        tenant_id=given.caller.tenant_id,
        user_id=message.user_id,
        flow_id=flow_id,
        cost=given.expected.cost(body, flow_id=flow_id, model=model),
        due_at=due_at,
        deadline_at=(due_at or now) + timedelta(seconds=draft.timeout_seconds),
        sequence_key=message.conversation_id,
        affinity=message.conversation_id.hex if message.conversation_id else "",
        allow_fallback=given.caller.allow_fallback,
        request_id=given.request_id[:64],
    )


def _choice(given: _Given, draft: MessageDraft, message: Message) -> Choice:
    return choose(
        _asked(draft, message.conversation),
        applying=given.applying,
        about=lambda: rules.subject(draft.content, draft.metadata),
        standing=Standing(
            user_default=Priority.of_row(message.user.default_priority),
            tenant_default=given.caller.default_level,
            highest=given.caller.highest_level,
        ),
    )


def _asked(draft: MessageDraft, conversation: Conversation | None) -> Asked | None:
    """The message's own priority, else its conversation's: the client has asked for both."""
    if draft.priority is not None:
        return Asked(draft.priority, "body priority")
    level = None if conversation is None else Priority.of_row(conversation.priority)
    return None if level is None else Asked(level, "conversation")
