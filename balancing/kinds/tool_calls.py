"""Puts the parts of streamed tool calls together, and keeps parallel calls apart.

OpenAI numbers the calls of an answer by `index`. Servers in the field give every call index 0 or
none, repeat the id in each part, or send no id at all: a new id, or a further name behind complete
arguments, begins a new call.
"""

from __future__ import annotations

from typing import Any

import orjson

Json = dict[str, Any]


# How arguments end that may be whole; a string, because some servers encode them twice.
_ENDS = ("}", "]", '"', "null")


class ToolCalls:
    """The calls of one choice."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._by_id: dict[Any, _Call] = {}
        # The call that an index stands for at the moment; None stands for "no index".
        self._by_index: dict[Any, _Call] = {}

    def feed(self, part: Json) -> None:
        """Add one element of `delta.tool_calls`."""
        index = part.get("index")
        call = self._meant(index, part)
        if call is None:
            call = _Call()
            self._calls.append(call)
        self._by_index[index] = self._by_index[None] = call
        call.add(part)
        if call.id:
            self._by_id.setdefault(call.id, call)

    def _meant(self, index: Any, part: Json) -> _Call | None:
        """The call that a part continues; None if it begins a new one."""
        identifier, known = part.get("id"), self._by_index.get(index)
        function = part.get("function") or {}
        if not identifier:
            return None if known and known.is_followed_by(function) else known
        if known is None or (known.id and known.id != identifier):
            same = self._by_id.get(identifier)
            if same is not None and (index is None or not function.get("name")):
                return same
            if known is None or function.get("name") or known.is_complete():
                return None
        return known

    def whole(self) -> list[Json]:
        """The calls as an unstreamed answer has them: with an id, arguments that are not empty."""
        return [call.whole(place) for place, call in enumerate(self._calls)]


class _Call:
    """One call. Its arguments come in small pieces, and are joined where they are looked at."""

    __slots__ = ("_fields", "_name", "_pieces", "id")

    def __init__(self) -> None:
        self.id: Any = ""
        self._fields: Json = {}
        self._name: Any = None
        self._pieces: list[str] = []

    def add(self, part: Json) -> None:
        for name, value in part.items():
            if name == "function":
                self._add_function(value or {})
            elif name == "id":
                self.id = self.id or value or ""
            elif name != "index" and value:
                # `extra_content` has the signatures of Gemini's thoughts.
                self._fields[name] = value

    def _add_function(self, part: Json) -> None:
        if part.get("name"):
            self._name = part["name"]
        arguments = part.get("arguments")
        if arguments is None:
            return
        if not isinstance(arguments, str):
            arguments = orjson.dumps(arguments).decode()
        if arguments:
            self._pieces.append(arguments)

    def is_followed_by(self, function: Json) -> bool:
        """Whether a part without id is another call than this one, for which its index stands."""
        name, arguments = function.get("name"), function.get("arguments")
        if not name or self._name is None:
            return False
        return (bool(arguments) or name != self._name) and self.is_complete()

    def is_complete(self) -> bool:
        """Whether the arguments are whole; most pieces do not end as whole ones do."""
        if not self._pieces or not self._pieces[-1].rstrip().endswith(_ENDS):
            return False
        try:
            orjson.loads(self._arguments())
        except orjson.JSONDecodeError:
            return False
        return True

    def _arguments(self) -> str:
        if len(self._pieces) > 1:
            self._pieces = ["".join(self._pieces)]
        return self._pieces[0] if self._pieces else ""

    def whole(self, place: int) -> Json:
        call = {"id": self.id or f"call_{place}", "type": "function", **self._fields}
        if "custom" in call:
            return call
        function: Json = {} if self._name is None else {"name": self._name}
        return {**call, "function": {**function, "arguments": self._arguments() or "{}"}}
