"""What became of one request, and of a whole run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.scheduling.plan import Request, Scenario


@dataclass(slots=True)
class Promise:
    """A wait that the queue foretold, `at` that moment."""

    at: float
    seconds: float
    way: str


@dataclass(slots=True)
class Record:
    """Instants are seconds from the scenario's first arrival.

    Attributes:
        sent: when the client began to send it, which may be late.
        refused: by admission.
        error: anything but an answer or a refusal.
        answered: when the whole answer was there.
        began, ended: when the endpoint saw the call and answered it.
        calls: how often the endpoint saw it.
    """

    request: Request
    sent: float | None = None
    refused: bool = False
    error: str = ""
    answered: float | None = None
    began: float | None = None
    ended: float | None = None
    calls: int = 0
    promises: list[Promise] = field(default_factory=list)

    @property
    def accepted(self) -> bool:
        return self.sent is not None and not self.refused


@dataclass(slots=True)
class Run:
    """One contender's way through a scenario.

    Attributes:
        stopped: when what still waited was given up; None where all was served.
        ended_otherwise: accepted requests that did not end exactly once.
        cpu: seconds by part; `others` what the rest of the machine used.
    """

    contender: str
    scenario: Scenario
    records: list[Record]
    stopped: float | None = None
    ended_otherwise: int = 0
    seconds: float = 0.0
    cpu: dict[str, float] = field(default_factory=dict)
    others_percent: float = 0.0

    @property
    def errors(self) -> int:
        return sum(bool(record.error) for record in self.records)

    def wait(self, record: Record) -> float | None:
        """From sending to the endpoint; of what was given up, as long as it had waited."""
        if not record.accepted or record.sent is None:
            return None
        if record.began is not None:
            return record.began - record.sent
        return None if self.stopped is None else max(0.0, self.stopped - record.sent)

    def waits(self, records: Iterable[Record] | None = None) -> list[float]:
        waits = (self.wait(record) for record in (self.records if records is None else records))
        return [wait for wait in waits if wait is not None]

    def at_level(self, level: str) -> list[Record]:
        return [record for record in self.records if record.request.level == level]

    def of_flow(self, flow: str) -> list[Record]:
        return [record for record in self.records if record.request.flow == flow]


def note_calls(
    records: Sequence[Record], calls: Iterable[tuple[str, float, float | None]], start: float
) -> None:
    """Write the endpoint's journal into the records: the first call counts as the beginning."""
    by_tag: Mapping[str, Record] = {tag(record.request): record for record in records}
    for name, began, ended in calls:
        record = by_tag.get(name)
        if record is None:
            continue
        record.calls += 1
        if record.began is None:
            record.began = began - start
        if ended is not None:
            record.ended = ended - start


def tag(request: Request) -> str:
    """The first word of its prompt, by which the endpoint's journal names it."""
    return f"r{request.number}"


def prompt(request: Request) -> str:
    """What the endpoint shall do, and as many tokens as recorded: for it words, of four characters.

    So the endpoint bills what was recorded, and what llmqueue estimates by length is near it.
    """
    directives = f"[[latency={request.service_seconds:.4f} tokens={request.output_tokens}]]"
    return f"{tag(request)} {directives} " + "lor " * request.input_tokens
