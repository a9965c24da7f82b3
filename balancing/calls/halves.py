"""Joins halves of surrogate pairs that a server has cut over two chunks.

Servers that escape per chunk send an emoji as `\\ud83d` in one and `\\ude00` in the next. No reader
of JSON text takes a half, so a high half waits for the next chunk of its choice and field.
"""

from __future__ import annotations

from typing import Any

from balancing.calls import tolerant

Json = dict[str, Any]
_Place = tuple[Any, ...]
# More choices and fields than this are not cut at once; a chunk looks through all that wait.
MOST_WAITING = 100


class Halves:
    """The high halves that wait, by choice and field."""

    def __init__(self) -> None:
        self.waiting: dict[_Place, str] = {}

    def mend(self, chunk: Json) -> None:
        """Join or replace the halves in a chunk of OpenAI's shape, in place."""
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict):
                self._mend_choice(choice)
        whole = tolerant.whole(chunk)
        chunk.clear()
        chunk.update(whole)

    def _mend_choice(self, choice: Json) -> None:
        index, delta = choice.get("index") or 0, choice.get("delta")
        is_last = bool(choice.get("finish_reason"))
        self._mend_fields(choice, (index, "choice"), ("text",), is_last=is_last)
        if not isinstance(delta, dict):
            return
        names = [name for name, value in delta.items() if isinstance(value, str)]
        waiting = [place[-1] for place in self.waiting if place[:-1] == (index, "delta")]
        names += [n for n in waiting if n not in names] if is_last else []
        self._mend_fields(delta, (index, "delta"), names, is_last=is_last)
        calls = delta.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            function = call.get("function") if isinstance(call, dict) else None
            if isinstance(function, dict):
                place = (index, "call", str(call.get("index")))
                self._mend_fields(function, place, ("arguments",), is_last=False)

    def _mend_fields(self, fields: Json, place: _Place, names: Any, *, is_last: bool) -> None:
        for name in names:
            text = fields.get(name)
            before = self.waiting.pop((*place, name), "")
            if isinstance(text, str):
                text = before + text
            elif before:
                text = before
            else:
                continue
            is_cut = not is_last and "\ud800" <= text[-1:] <= "\udbff"
            if is_cut and len(self.waiting) < MOST_WAITING:
                self.waiting[*place, name] = text[-1]
                text = text[:-1]
            fields[name] = text
