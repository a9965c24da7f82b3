"""Puts the parts of streamed tool calls together, and keeps parallel calls apart.

OpenAI numbers the calls of an answer by `index`. Servers in the field give every call index 0 or
none, repeat the id in each part, or send no id at all: a new id, or a further name behind complete
arguments, begins a new call.
"""

from __future__ import annotations

from typing import Any

import orjson

Json = dict[str, Any]


class ToolCalls:
    """The calls of one choice."""

    def __init__(self) -> None:
        self._calls: list[Json] = []
        # The call that an index stands for at the moment; None stands for "no index".
        self._by_index: dict[Any, Json] = {}

    def feed(self, part: Json) -> None:
        """Add one element of `delta.tool_calls`."""
        index = part.get("index")
        call = self._meant(index, part)
        if call is None:
            call = {"id": "", "type": "function", "function": {}}
            self._calls.append(call)
        self._by_index[index] = self._by_index[None] = call
        for name, value in part.items():
            if name == "function":
                _merge_function(call["function"], value or {})
            elif name == "id":
                call["id"] = call["id"] or value or ""
            elif name != "index" and value:
                # `extra_content` has the signatures of Gemini's thoughts.
                call[name] = value

    def _meant(self, index: Any, part: Json) -> Json | None:
        """The call that a part continues; None if it begins a new one."""
        identifier, known = part.get("id"), self._by_index.get(index)
        function = part.get("function") or {}
        if not identifier:
            return None if known and _follows(known, function) else known
        if known is None or (known["id"] and known["id"] != identifier):
            same = next((c for c in self._calls if c["id"] == identifier), None)
            if same is not None and (index is None or not function.get("name")):
                return same
            if known is None or function.get("name") or _is_complete(known):
                return None
        return known

    def whole(self) -> list[Json]:
        """The calls as an unstreamed answer has them: with an id, arguments that are not empty."""
        return [_completed(call, place) for place, call in enumerate(self._calls)]


def _follows(known: Json, function: Json) -> bool:
    """Whether a part without id is another call than the one that its index stands for."""
    name, arguments = function.get("name"), function.get("arguments")
    if not name or "name" not in known["function"]:
        return False
    return _is_complete(known) and (bool(arguments) or name != known["function"]["name"])


def _is_complete(call: Json) -> bool:
    try:
        orjson.loads(call["function"].get("arguments", ""))
    except orjson.JSONDecodeError:
        return False
    return True


def _merge_function(function: Json, part: Json) -> None:
    if part.get("name"):
        function["name"] = part["name"]
    arguments = part.get("arguments")
    if arguments is None:
        return
    if not isinstance(arguments, str):
        arguments = orjson.dumps(arguments).decode()
    function["arguments"] = function.get("arguments", "") + arguments


def _completed(call: Json, place: int) -> Json:
    call = {**call, "id": call["id"] or f"call_{place}"}
    if "custom" in call:
        return {name: value for name, value in call.items() if name != "function"}
    call["function"] = {**call["function"], "arguments": call["function"].get("arguments") or "{}"}
    return call
