"""How does a draft become a stored message with a queued job? One, or ten thousand at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from django.db import transaction

from conversations.access import flows
from conversations.access.flows import FlowRow
from conversations.access.keys import Caller
from conversations.dialogue.drafts import MessageDraft
from conversations.dialogue.preparing import Batch, Prepared, prepare
from conversations.dialogue.turns import refresh_prompt, touch
from conversations.models import Message
from scheduling import services as scheduling
from scheduling.models import Held, Status
from scheduling.specs import Receipt
from scheduling.submit.bulk import submit_bulk
from scheduling.waiting import admission


def send(*, caller: Caller, draft: MessageDraft, request_id: str = "") -> Message:
    """Store a message and queue its request.

    Raises:
        ConversationsError, SchedulingError: nothing was stored.
    """
    known = _own_flow(caller)
    with transaction.atomic():
        batch = prepare(caller, [draft], request_id=request_id, known_flows=known)
        [turn] = batch.turns
        deciding = admission.current()
        deciding.check([turn.spec])
        _store(batch.turns)
        receipt = scheduling.submit(turn.spec)
        deciding.record([turn.spec], [receipt])
        _refresh(batch, [receipt])
    return turn.message


def send_many(
    *, caller: Caller, drafts: Sequence[MessageDraft], request_id: str = ""
) -> list[Message]:
    """Store a batch and queue it as backlog. If one message is refused, nothing is stored.

    Raises:
        ConversationsError, SchedulingError: nothing was stored.
    """
    known = _own_flow(caller)
    with transaction.atomic():
        batch = prepare(caller, drafts, request_id=request_id, known_flows=known)
        deciding = admission.current()
        deciding.check([turn.spec for turn in batch.turns], batch=True)
        # Submitting comes last: it locks the tenant's fair tags until the commit.
        _store(batch.turns)
        backlog = (replace(turn.spec, backlog=True) for turn in batch.turns)
        parts = submit_bulk(backlog, seen=deciding)
        _refresh(batch, [receipt for part in parts for receipt in part])
    return [turn.message for turn in batch.turns]


def _own_flow(caller: Caller) -> dict[FlowRow, int]:
    """The caller's own flow, which is mostly the only one.

    It is stored before the transaction: its id is remembered only then, and its row is not locked
    until the commit.
    """
    row = flows.of_caller(caller)
    return {row: flows.stored(row)}


def _store(turns: Sequence[Prepared]) -> None:
    messages = [turn.message for turn in turns]
    Message.objects.bulk_create(messages, batch_size=1000)
    counts = Counter(m.conversation_id for m in messages if m.conversation_id)
    for conversation_id, added in counts.items():
        touch(conversation_id, added, revive=True)


def _refresh(batch: Batch, receipts: Sequence[Receipt]) -> None:
    """Rebuild the prompts of turns that wait for no other although one had been in flight.

    Workers finish jobs without the conversation's lock. A turn that ended between the reading of
    the history and the storing of the next turn is missing from the next turn's prompt.
    """
    for turn, receipt in zip(batch.turns, receipts, strict=True):
        first = receipt.status == Status.QUEUED or receipt.held_reason == Held.BACKLOG
        if first and turn.message.conversation_id in batch.busy:
            refresh_prompt(message=turn.message)
