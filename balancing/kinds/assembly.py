"""Puts streamed chunks together into the one response that is stored."""

from __future__ import annotations

from typing import Any

from balancing.kinds.said import FAILED, NOT_YET, WITH_CALLS, says
from balancing.kinds.tool_calls import ToolCalls

Json = dict[str, Any]
# Strings of a streamed object that grow piece by piece: audio, a legacy function call, thoughts.
_GROWING = frozenset({"data", "transcript", "arguments", "text", "thinking", "summary"})


class Assembly:
    """Takes the `chat.completion.chunk` (or `text_completion`) objects of one stream.

    Attributes:
        usage: the token counts that the chunks reported.
        tokens: how many pieces came, each of about a token.
        unfinished: how many choices have begun and not ended.
        has_content: whether any chunk held something that a client would miss.
        failed: the choice whose finish reason says that its answer failed.
    """

    def __init__(self) -> None:
        self._head: Json = {}
        self._has_head = False
        self._choices: dict[int, _Choice] = {}
        self.unfinished = 0
        self.usage: Json | None = None
        self.tokens = 0
        self.has_content = False
        self.failed: Json | None = None

    def feed(self, chunk: Json) -> bool:
        """Add one chunk; returns whether it held text, reasoning, a tool call or a finish reason.

        Raises:
            one of `balancing.errors.UNKNOWN_SHAPE`: the chunk has an unknown shape.
        """
        if chunk.get("usage"):
            self._count(chunk["usage"])
        choices = chunk.get("choices")
        if not self._has_head:
            self._take_head(chunk, final=bool(choices))
        spoke = False
        for choice in choices or ():
            spoke |= self._merge(choice)
        if spoke:
            self.has_content = True
        return spoke

    def _take_head(self, chunk: Json, *, final: bool) -> None:
        """Azure's first chunk has neither model nor choices: the first real one fills the gaps."""
        head = {k: v for k, v in chunk.items() if k not in ("choices", "usage")}
        self._head = {**head, **{k: v for k, v in self._head.items() if v}}
        self._has_head = final

    def _count(self, usage: Any) -> None:
        """Later counts replace earlier ones; a zero replaces none."""
        if isinstance(usage, dict):
            known = self.usage or {}
            self.usage = {**known, **{k: v for k, v in usage.items() if v or k not in known}}

    def _merge(self, choice: Json) -> bool:
        index = choice.get("index") or 0
        if type(index) is not int:
            index = int(index)
        whole = self._choices.get(index)
        if whole is None:
            whole = self._choices[index] = _Choice()
            self.unfinished += 1
        spoke = False
        if delta := choice.get("delta"):
            spoke = whole.add(delta)
        elif text := choice.get("text"):
            spoke = whole.add_text(text)
        if spoke:
            self.tokens += 1
        if choice.get("logprobs"):
            _extend(whole.logprobs, choice["logprobs"])
        reason = choice.get("finish_reason")
        if reason and reason not in NOT_YET:
            if reason in FAILED or (reason in WITH_CALLS and whole.is_empty):
                self.failed = choice
            self.unfinished -= not whole.finish_reason
            whole.finish_reason = reason
            return True
        return spoke

    @property
    def finished(self) -> bool:
        """Whether every choice that has begun has a finish reason."""
        return not self.unfinished and bool(self._choices)

    @property
    def choices(self) -> int:
        """How many choices have begun."""
        return len(self._choices)

    @property
    def text(self) -> str:
        """The text of the first choice."""
        return self._choices[min(self._choices)].text if self._choices else ""

    def response(self, *, completion: bool = False) -> Json:
        """The response object, as an unstreamed call would have returned it.

        Args:
            completion: whether it answers a legacy completion, though its chunks do not say so.
        """
        completion = completion or self._head.get("object") == "text_completion"
        response = {**self._head, "object": "text_completion" if completion else "chat.completion"}
        response["choices"] = [
            {"index": index, **self._choices[index].whole(completion=completion)}
            for index in sorted(self._choices)
        ]
        if self.usage:
            response["usage"] = self.usage
        return response


class _Choice:
    """What has come of one choice."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        # Other strings of the message, piece by piece: reasoning, a refusal.
        self._strings: dict[str, list[str]] = {}
        self._others: Json = {}
        self._calls: ToolCalls | None = None
        self.logprobs: Json = {}
        self.finish_reason: Any = None

    @property
    def text(self) -> str:
        return "".join(self._parts)

    @property
    def is_empty(self) -> bool:
        """Whether it has said nothing yet."""
        return not (self._parts or self._calls or self._strings or self._others)

    def add_text(self, text: Any) -> bool:
        if not text:
            return False
        if isinstance(text, str):
            self._parts.append(text)
            return True
        return self._add_content(text if isinstance(text, list) else [text])

    def add(self, delta: Json) -> bool:
        spoke = False
        for name, value in delta.items():
            if not value or name == "role":
                continue
            if name == "content":
                if type(value) is str:
                    self._parts.append(value)
                    spoke = True
                elif type(value) in (int, float):
                    delta[name] = str(value)
                    spoke |= self.add_text(delta[name])
                else:
                    spoke |= self.add_text(value)
            elif name == "tool_calls":
                spoke |= self._add_calls(value)
            else:
                self._add_other(name, value)
                spoke = spoke or says(name, value)
        return spoke

    def _add_content(self, parts: list[Any]) -> bool:
        """Content as a list of parts: text, and the reasoning of some models.

        A part whose every text is empty says nothing.
        """
        for part in parts:
            if isinstance(part, str):
                self._parts.append(part)
                continue
            if not isinstance(part, dict):
                raise TypeError("generated text is not text")
            if isinstance(part.get("thinking"), list):
                for thought in part["thinking"]:
                    self._add_other("reasoning_content", thought.get("text") or "")
            elif isinstance(part.get("thinking"), str):
                self._add_other("reasoning_content", part["thinking"])
            elif isinstance(part.get("text"), str):
                self._parts.append(part["text"])
        return says("content", parts)

    def _add_calls(self, parts: Any) -> bool:
        """Tool calls; one without its list is a list of one. An empty piece says nothing."""
        parts = [part for part in (parts if isinstance(parts, list) else [parts]) if part]
        spoke = says("tool_calls", parts) or any(part.get("id") for part in parts)
        if spoke or self._calls:
            calls = self._calls = self._calls or ToolCalls()
            for part in parts:
                calls.feed(part)
        return spoke

    def _add_other(self, name: str, value: Any) -> None:
        if isinstance(value, str):
            self._strings.setdefault(name, []).append(value)
        elif isinstance(value, list):
            known = self._others.setdefault(name, [])
            for each in value:
                _join(known, each)
        elif isinstance(value, dict):
            _grow(self._others.setdefault(name, {}), value)
        else:
            self._others[name] = value

    def whole(self, *, completion: bool) -> Json:
        choice: Json = {
            "finish_reason": self.finish_reason,
            "logprobs": self.logprobs or None,
        }
        if completion:
            choice["text"] = self.text
            return choice
        strings = {name: "".join(parts) for name, parts in self._strings.items()}
        others = strings | {name: _joined(value) for name, value in self._others.items()}
        content = self.text or (None if self._calls else "")
        choice["message"] = {"role": "assistant", "content": content, **others}
        if self._calls:
            choice["message"]["tool_calls"] = self._calls.whole()
        return choice


def _extend(whole: Json, part: Any) -> None:
    for name, value in part.items() if isinstance(part, dict) else ():
        if isinstance(value, list):
            whole.setdefault(name, []).extend(value)


class _Pieces(list[str]):
    """A string that grows; joined at the end, because each copy would be longer than the last."""


def _joined(value: Any) -> Any:
    """A value of `_others` with its strings whole: an object, or a list of objects."""
    if isinstance(value, dict):
        return {n: "".join(v) if isinstance(v, _Pieces) else v for n, v in value.items()}
    return [_joined(each) for each in value] if isinstance(value, list) else value


def _join(known: list[Any], item: Any) -> None:
    """Add an item of a streamed list; pieces of one item have its type and index."""
    last = known[-1] if known else None
    if (
        isinstance(last, dict)
        and isinstance(item, dict)
        and item.get("index") is not None
        and (last.get("type"), last.get("index")) == (item.get("type"), item.get("index"))
    ):
        _grow(last, item)
    else:
        known.append(dict(item) if isinstance(item, dict) else item)


def _grow(known: Json, part: Json) -> None:
    for name, value in part.items():
        before = known.get(name)
        if name in _GROWING and isinstance(value, str) and isinstance(before, _Pieces):
            before.append(value)
        elif name in _GROWING and isinstance(value, str) and isinstance(before, str):
            known[name] = _Pieces((before, value))
        elif value is not None:
            known[name] = value
