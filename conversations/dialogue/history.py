"""Which finished turns of a conversation can the next turn's prompt use?"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.db.models import F, QuerySet, Window
from django.db.models.functions import RowNumber

from conversations.dialogue.prompting import HISTORY_TURNS, Turn
from conversations.models import Conversation, Message
from scheduling.models import FINAL, JobResult, Status

NOT_WITHDRAWN = [status for status in FINAL if status != Status.CANCELLED]


def of(*, conversations: Sequence[Conversation]) -> dict[UUID, list[Turn]]:
    """The latest turns of each conversation, oldest first, in one query."""
    if not conversations:
        return {}
    questions = _finished().filter(conversation__in=conversations)
    recent = questions.annotate(
        place=Window(
            RowNumber(), partition_by=F("conversation_id"), order_by=F("created_at").desc()
        )
    ).filter(place__lte=HISTORY_TURNS)
    turns: dict[UUID, list[Turn]] = {}
    for message in sorted(recent, key=lambda message: (message.created_at, message.pk)):
        assert message.conversation_id is not None  # noqa: S101 - filtered by conversation
        turns.setdefault(message.conversation_id, []).append(_turn(message))
    return turns


def before(*, message: Message) -> list[Turn]:
    """The turns that precede a message of a conversation, oldest first."""
    earlier = _finished().filter(
        conversation=message.conversation, created_at__lt=message.created_at
    )
    latest = list(earlier.order_by("-created_at")[:HISTORY_TURNS])
    return [_turn(row) for row in reversed(latest)]


def _finished() -> QuerySet[Message]:
    return Message.objects.filter(
        role=Message.Role.USER, job__status__in=NOT_WITHDRAWN
    ).select_related("reply", "job")


def _turn(message: Message) -> Turn:
    assert message.job is not None  # noqa: S101 - the query joins the job
    return Turn(message.content, answer_of(message), message.job.status)


def answer_of(message: Message) -> str | None:
    """The answer's text, from the recorded message or from a result not recorded yet."""
    reply: Message | None = getattr(message, "reply", None)
    if reply is not None:
        return reply.content
    if message.job is None or message.job.status != Status.COMPLETED:
        return None
    result: JobResult | None = getattr(message.job, "result", None)
    return result.text if result is not None else None
