"""A conversation in the order that strict providers want: turns that alternate, a result a call.

OpenAI-compatible servers take nearly any history; Anthropic and Gemini refuse one that begins with
the assistant, holds an empty text, or has a call without its result. Clients write such histories
when they cut them, switch the model or lose a tool. What is mended is listed in docs/providers.md.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from balancing.kinds import prompt
from balancing.kinds.prompt import SYSTEM_ROLES, Media, Text
from balancing.kinds.shape import Json, unsupported

USER, ASSISTANT = "user", "assistant"
# Stands where a history begins with the assistant; nothing else is known of that turn.
OPENING = "."
_THOUGHTS = ("thinking", "redacted_thinking")
NO_RESULT = "(no result: the call was not run)"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of the model.

    Attributes:
        place: its place among all calls of the history; two calls may have the same id.
        is_first: whether it is the first one of its message.
        extra: what a provider asked to have sent back with it.
    """

    place: int
    id: str
    name: str
    arguments: Json
    is_first: bool = True
    extra: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a call gave; `is_missing` if the history holds no result of it."""

    call: ToolCall
    parts: tuple[Text | Media, ...]
    is_missing: bool = False


@dataclass(frozen=True, slots=True)
class Thought:
    """A signed block of Anthropic's thinking, as it came."""

    block: Json


@dataclass(slots=True)
class Turn:
    """What one side says: results of the calls before it, then the rest in its order."""

    role: str
    results: list[ToolResult] = field(default_factory=list)
    items: list[Text | Media | ToolCall | Thought] = field(default_factory=list)

    @property
    def calls(self) -> list[ToolCall]:
        return [item for item in self.items if isinstance(item, ToolCall)]


def system_of(messages: Sequence[Json], *, blank: bool = True) -> list[Text | Media]:
    """All system messages; strict providers have one field for them.

    Args:
        blank: whether texts of nothing but white space are kept.
    """
    return [
        part
        for place, message in enumerate(messages)
        if message["role"] in SYSTEM_ROLES
        for part in _parts(message, place, blank)
    ]


def turns_of(messages: Sequence[Json], provider: str, *, blank: bool = True) -> list[Turn]:
    """The turns of a conversation, of which the first one is the user's.

    Args:
        provider: its name, for sentences that refuse.
        blank: as in `system_of`.

    Raises:
        Refused: nothing is said in it, or a message has a role or a part that no provider takes.
    """
    history = _History(provider, blank)
    for place, message in enumerate(messages):
        history.take(message, place)
    turns = history.ended()
    if not turns:
        # Fine at OpenAI: the system message is all that there is.
        system = system_of(messages, blank=blank)
        if not system:
            raise unsupported(f"{provider} needs a message that is not empty", "messages")
        return [Turn(USER, items=[*system])]
    if turns[0].role == ASSISTANT:
        turns.insert(0, Turn(USER, items=[Text(OPENING)]))
    return turns


class _History:
    def __init__(self, provider: str, blank: bool) -> None:
        self._provider = provider
        self._blank = blank
        self._turns: list[Turn] = []
        # Calls of the last turn of the assistant that have no result yet, by place; their places
        # by id, those included that have one.
        self._open: dict[int, ToolCall] = {}
        self._places: dict[str, deque[int]] = {}
        self._calls = 0

    def take(self, message: Json, place: int) -> None:
        role = message["role"]
        if role in SYSTEM_ROLES:
            return
        parts = _parts(message, place, self._blank)
        match role:
            case "user":
                self._add(USER, parts)
            case "assistant":
                self._add(ASSISTANT, self._said(message, parts))
            case "tool":
                self._result(message.get("tool_call_id"), parts)
            case _:
                raise unsupported(f"{self._provider} knows no role {role!r}", "messages")

    def ended(self) -> list[Turn]:
        self._close()
        return self._turns

    def _add(self, role: str, items: list[Any]) -> None:
        if items:
            self._turn(role).items += items

    def _turn(self, role: str) -> Turn:
        """The turn that runs; neighbours of one role are joined."""
        if not self._turns or self._turns[-1].role != role:
            if role == ASSISTANT:
                self._close()
            self._turns.append(Turn(role))
        return self._turns[-1]

    def _close(self) -> None:
        """A result can come only before the assistant speaks again."""
        missing = [ToolResult(call, (), is_missing=True) for call in self._open.values()]
        self._open, self._places = {}, {}
        if missing:
            self._turn(USER).results += missing

    def _said(self, message: Json, parts: list[Text | Media]) -> list[Any]:
        calls = list(self._called(message))
        if not calls and not parts:
            # A thought alone is no turn.
            return []
        thoughts = thoughts_of(message.get("thinking_blocks") or message.get("content"))
        if not thoughts and calls:
            thoughts = _thoughts_before(calls[0])
        items: list[Any] = [*thoughts, *parts]
        for call in calls:
            if not call.is_first:
                items += _thoughts_before(call)
            items.append(call)
        return items

    def _called(self, message: Json) -> Iterator[ToolCall]:
        for number, call in enumerate(message.get("tool_calls") or ()):
            made = ToolCall(
                place=self._calls,
                id=str(call.get("id") or ""),
                name=call["function"]["name"],
                arguments=prompt.arguments_of(call),
                is_first=number == 0,
                extra=call.get("extra_content") or {},
            )
            self._calls += 1
            # A turn that is not the assistant's ends here, before its calls are open.
            self._turn(ASSISTANT)
            self._open[made.place] = made
            self._places.setdefault(made.id, deque()).append(made.place)
            yield made

    def _result(self, identifier: Any, parts: list[Text | Media]) -> None:
        call = self._answered(identifier)
        if call is None:
            # Nobody asked for it, or it came twice: it is told as what it says.
            self._add(USER, [Text(f"(result of a tool call: {identifier})"), *parts])
            return
        self._turn(USER).results.append(ToolResult(call, tuple(parts)))

    def _answered(self, identifier: Any) -> ToolCall | None:
        """The first open call of an id, or of any where the result names none; closed now."""
        if not identifier:
            return self._open.pop(next(iter(self._open))) if self._open else None
        places = self._places.get(str(identifier), deque())
        while places:
            if call := self._open.pop(places.popleft(), None):
                return call
        return None


def thoughts_of(blocks: Any) -> list[Thought]:
    """The blocks that Anthropic takes back: those that it signed, or whose text it hides."""
    return [
        Thought(block)
        for block in (blocks if isinstance(blocks, list) else ())
        if isinstance(block, dict)
        and (
            (block.get("type") == "thinking" and block.get("signature"))
            or (block.get("type") == "redacted_thinking" and block.get("data"))
        )
    ]


def _thoughts_before(call: ToolCall) -> list[Thought]:
    return thoughts_of((call.extra.get("anthropic") or {}).get("thinking_blocks"))


def _parts(message: Json, place: int, blank: bool) -> list[Text | Media]:
    content = message.get("content")
    if isinstance(content, list) and message["role"] == "assistant":
        # Some clients write the thoughts here; see `thoughts_of`.
        content = [p for p in content if not isinstance(p, dict) or p.get("type") not in _THOUGHTS]
    return [
        part
        for part in prompt.parts(content, f"messages[{place}].content")
        if blank or not isinstance(part, Text) or part.text.strip()
    ]
