"""What can be done with messages and conversations? Doors, admin and receivers call these verbs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID

from django.db import transaction
from django.db.models import F

from conversations.access.keys import Caller
from conversations.access.users import users_named
from conversations.dialogue.drafts import ConversationDraft
from conversations.dialogue.sending import send, send_many
from conversations.dialogue.turns import advance, finish_turn
from conversations.errors import ConversationBusy, ConversationClosed
from conversations.models import Conversation, Message
from scheduling import services as scheduling
from scheduling.errors import IllegalTransition
from scheduling.models import FINAL, Job, Status

__all__ = [
    "advance",
    "cancel",
    "change_state",
    "delete",
    "delete_conversation",
    "finish_turn",
    "open_conversation",
    "retry",
    "send",
    "send_many",
]

State = Conversation.State
WAITING = (Status.HELD, Status.QUEUED)

# From each state, the states that may follow. Archived is final.
TRANSITIONS: dict[str, set[str]] = {
    State.ACTIVE: {State.INACTIVE, State.COMPLETED, State.ARCHIVED},
    State.INACTIVE: {State.ACTIVE, State.COMPLETED, State.ARCHIVED},
    State.COMPLETED: {State.ACTIVE, State.ARCHIVED},
    State.ARCHIVED: set(),
}


def cancel(*, message: Message) -> Status:
    """Withdraw a message; one that waits ends at once, one that runs within a second."""
    return scheduling.cancel(job_id=_job(message, Status.CANCELLED).pk)


def retry(*, message: Message, operator: bool) -> Status:
    """Queue a message again that ended without an answer.

    A client may retry what failed or timed out. Only an operator may retry what was cancelled.
    """
    job = _job(message, Status.QUEUED)
    if job.status == Status.CANCELLED and not operator:
        raise IllegalTransition(job.status, "pending")
    return scheduling.requeue(job_id=job.pk)


def delete(*, message: Message) -> None:
    """Remove a message, its answer, and everything that is stored of its request.

    Raises:
        IllegalTransition: it is running (cancel it first) or is itself an answer.
    """
    if message.role == Message.Role.ASSISTANT:
        raise IllegalTransition("recorded answer", "deleted without its question")
    jobs = Job.objects.filter(message=message)
    if message.job_id and jobs.filter(status__in=WAITING).exists():
        with suppress(IllegalTransition):
            scheduling.cancel(job_id=message.job_id)
    with transaction.atomic():
        job = jobs.select_for_update(of=("self",)).first()
        if job is not None and job.status not in FINAL:
            raise IllegalTransition(job.status, "deleted")
        rows = 1 + Message.objects.filter(reply_to=message).count()
        _forget_jobs([job.pk] if job else [])
        message.delete()
        if message.conversation_id:
            Conversation.objects.filter(pk=message.conversation_id, message_count__gte=rows).update(
                message_count=F("message_count") - rows
            )


def _forget_jobs(ids: Sequence[UUID]) -> None:
    Job.objects.filter(pk__in=ids, status__in=FINAL).delete()


def _job(message: Message, wanted: str) -> Job:
    if message.job is None:
        raise IllegalTransition("finished", wanted)
    return message.job


def open_conversation(*, caller: Caller, draft: ConversationDraft) -> Conversation:
    with transaction.atomic():
        user = users_named(caller=caller, names=[draft.user_id])[draft.user_id]
        return Conversation.objects.create(
            tenant_id=caller.tenant_id,
            user=user,
            title=draft.title,
            context=draft.context,
            model=draft.model,
            priority=draft.priority,
            metadata=draft.metadata,
            expires_at=draft.expires_at,
        )


def change_state(*, conversation: Conversation, state: str) -> Conversation:
    """Move a conversation along its lifecycle. Naming the present state is not an error.

    Raises:
        ConversationClosed: the lifecycle has no such step.
    """
    with transaction.atomic():
        locked = Conversation.objects.select_for_update().get(pk=conversation.pk)
        if state != locked.state:
            if state not in TRANSITIONS[locked.state]:
                raise ConversationClosed(f"a conversation that is {locked.state} cannot be {state}")
            locked.state = state
            locked.save(update_fields=["state", "updated_at"])
    return locked


def delete_conversation(*, conversation: Conversation) -> None:
    """Remove a conversation with its messages; waiting turns are cancelled.

    Raises:
        ConversationBusy: a turn is running; cancel it first.
    """
    with transaction.atomic():
        # The lock of the conversation's turns: none is sent or released meanwhile.
        Conversation.objects.select_for_update().filter(pk=conversation.pk).first()
        jobs = dict(
            Job.objects.filter(message__conversation=conversation).values_list("pk", "status")
        )
        waiting = [job_id for job_id, status in jobs.items() if status in WAITING]
        # Others are running, or were claimed since they were read.
        if Status.PROCESSING in jobs.values() or not scheduling.withdraw(job_ids=waiting):
            raise ConversationBusy("a turn is running: cancel it first")
        _forget_jobs(list(jobs))
        conversation.delete()
