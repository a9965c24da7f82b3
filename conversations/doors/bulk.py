"""How does a file of requests, one JSON object a line, become jobs? As a stream, some at a time.

A line is a chat, completion (`prompt`) or embedding (`input`) request, a line of OpenAI's batch
format (`url`, `body`, `custom_id`), or a message (`content`), which is stored as a message that the
REST API shows. A line that is refused stops no other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from uuid import UUID

from conversations.access import flows
from conversations.dialogue import sending
from conversations.doors.batch_lines import BadLine, Line, Terms, line_of
from scheduling.submit.bulk import submit_bulk

# The most lines that are held in memory before they are stored.
LINES_AT_ONCE = 5000


@dataclass(frozen=True, slots=True)
class Accepted:
    """A stored line: its number, its job, and its `custom_id`."""

    number: int
    job_id: UUID
    custom_id: str


def read(
    lines: Iterable[bytes], terms: Terms, *, refused: Callable[[BadLine], None], skip: int = 0
) -> Iterator[Line]:
    """The requests of a file. Empty lines are skipped.

    Args:
        refused: is told of each line that is no request; the others go on.
    """
    flow_id = flows.stored(flows.of_caller(terms.caller))
    for number, raw in enumerate(islice(lines, skip, None), skip + 1):
        found = line_of(number, raw, terms, flow_id)
        if isinstance(found, BadLine):
            refused(found)
        elif found is not None:
            yield found


def store(lines: Iterable[Line], terms: Terms) -> Iterator[list[Accepted]]:
    """Store the lines, some thousand at a time; yields what has been stored.

    Raises:
        SchedulingError, ConversationsError: only what was yielded is stored.
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
