"""What follows the end of a message's job? Its answer is recorded, the next turn is released.

A conversation's row is the lock of its turns: sending, answering and releasing a turn take it.
So the answer of a turn is in the body of the next one, in whatever order things happen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from conversations.dialogue import history, prompting
from conversations.models import Conversation, Message
from scheduling import services as scheduling
from scheduling.models import FINAL, Job, JobPayload, Status


def finish_turn(*, job_id: UUID) -> None:
    """Record the answer of a finished job and release the conversation's next turn.

    May run again, and twice at once: `reply_to` is unique.
    """
    message = Message.objects.filter(job_id=job_id).select_related("job", "job__result").first()
    if message is None or message.job is None or message.job.status not in FINAL:
        return
    if message.job.status == Status.COMPLETED:
        with transaction.atomic():
            if message.conversation_id:
                Conversation.objects.select_for_update().filter(pk=message.conversation_id).first()
            _record_answer(message)
    if message.conversation_id:
        advance(conversation_id=message.conversation_id)


def _record_answer(message: Message) -> None:
    text = history.answer_of(message)
    if text is None:
        return
    _, created = Message.objects.get_or_create(
        reply_to=message,
        defaults={
            "tenant_id": message.tenant_id,
            "user_id": message.user_id,
            "conversation_id": message.conversation_id,
            "role": Message.Role.ASSISTANT,
            "content": text,
        },
    )
    if created and message.conversation_id:
        touch(message.conversation_id, 1)


def advance(*, conversation_id: UUID) -> bool:
    """Release the conversation's next held turn with the present history; whether there was one."""
    with transaction.atomic():
        conversation = Conversation.objects.select_for_update().filter(pk=conversation_id).first()
        job_id = scheduling.next_held_turn(sequence_key=conversation_id)
        if conversation is None or job_id is None:
            return False
        message = Message.objects.filter(job_id=job_id).select_related("job").first()
        if message is None or message.job is None:
            return False
        body = _prompt(message, conversation, message.job)
        return scheduling.release_turn(job_id=job_id, body=body)


def refresh_prompt(*, message: Message) -> None:
    """Rebuild the prompt of a turn that this transaction has stored, with the present history."""
    assert message.conversation is not None  # noqa: S101 - only turns of a conversation come here
    job = Job.objects.get(message=message)
    body = _prompt(message, message.conversation, job)
    JobPayload.objects.filter(job=job).update(body=body)


def in_flight(*, conversation_ids: Sequence[UUID]) -> set[UUID]:
    """The conversations among these that have a turn waiting or running. Index job_sequence."""
    if not conversation_ids:
        return set()
    unfinished = Job.objects.filter(
        sequence_key__in=conversation_ids,
        status__in=[Status.HELD, Status.QUEUED, Status.PROCESSING],
    )
    return {key for key in unfinished.values_list("sequence_key", flat=True) if key is not None}


def _prompt(message: Message, conversation: Conversation, job: Job) -> str:
    """The turn's body. The message notes what of the history was sent."""
    made = prompting.prompt(
        model=job.model,
        context=conversation.context,
        history=history.before(message=message),
        content=message.content,
        promised=True,
    )
    message.analysis = {**(message.analysis or {}), "history": made.history}
    message.save(update_fields=["analysis"])
    return made.body


def touch(conversation_id: UUID, added: int, *, revive: bool = False) -> None:
    """Count new messages of a conversation. A client's message makes it active (`revive`)."""
    now = timezone.now()
    changes: dict[str, Any] = {"last_active_at": now, "updated_at": now}
    if revive:
        changes["state"] = Conversation.State.ACTIVE
    Conversation.objects.filter(pk=conversation_id).update(
        message_count=F("message_count") + added, **changes
    )
