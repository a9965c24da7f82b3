"""Puts streamed chunks together into the one response that is stored."""

from __future__ import annotations

from typing import Any


class Assembly:
    """Takes the `chat.completion.chunk` (or `text_completion`) objects of one stream."""

    def __init__(self) -> None:
        self._head: dict[str, Any] = {}
        self._choices: dict[int, dict[str, Any]] = {}
        self.usage: dict[str, Any] | None = None
        self.tokens = 0

    def feed(self, chunk: dict[str, Any]) -> bool:
        """Add one chunk; returns whether it held generated text or tool calls."""
        if chunk.get("usage"):
            self.usage = chunk["usage"]
        if not self._head:
            self._head = {k: v for k, v in chunk.items() if k not in ("choices", "usage")}
        spoke = False
        for choice in chunk.get("choices") or ():
            spoke |= self._merge(choice)
        return spoke

    def _merge(self, choice: dict[str, Any]) -> bool:
        index = choice.get("index", 0)
        whole = self._choices.setdefault(index, {"index": index, "parts": [], "message": {}})
        if choice.get("finish_reason"):
            whole["finish_reason"] = choice["finish_reason"]
        if choice.get("logprobs"):
            _extend(whole.setdefault("logprobs", {}), choice["logprobs"])
        if "text" in choice:
            return self._append(whole, choice["text"])
        delta: dict[str, Any] = choice.get("delta") or {}
        spoke = self._append(whole, delta.get("content"))
        for name, value in delta.items():
            if name == "tool_calls":
                if value:
                    _merge_tool_calls(whole["message"].setdefault("tool_calls", []), value)
                    spoke = True
            elif name not in ("content", "role") and isinstance(value, str):
                whole["message"][name] = whole["message"].get(name, "") + value
                spoke = spoke or bool(value)
        return spoke

    def _append(self, whole: dict[str, Any], text: Any) -> bool:
        if not text:
            return False
        if not isinstance(text, str):
            raise TypeError("generated text is not text")
        self.tokens += 1
        whole["parts"].append(text)
        return True

    @property
    def finished(self) -> bool:
        """Whether every choice that has begun has a finish reason."""
        return bool(self._choices) and all(
            choice.get("finish_reason") for choice in self._choices.values()
        )

    @property
    def text(self) -> str:
        """The text of the first choice."""
        first = self._choices.get(0)
        return "".join(first["parts"]) if first else ""

    def response(self) -> dict[str, Any]:
        """The response object, as an unstreamed call would have returned it."""
        completion = self._head.get("object") == "text_completion"
        response = {**self._head, "object": "text_completion" if completion else "chat.completion"}
        response["choices"] = [
            self._choice(self._choices[index], completion) for index in sorted(self._choices)
        ]
        if self.usage:
            response["usage"] = self.usage
        return response

    def _choice(self, whole: dict[str, Any], completion: bool) -> dict[str, Any]:
        text = "".join(whole["parts"])
        choice: dict[str, Any] = {
            "index": whole["index"],
            "finish_reason": whole.get("finish_reason"),
            "logprobs": whole.get("logprobs"),
        }
        if completion:
            choice["text"] = text
        else:
            content = text or (None if whole["message"].get("tool_calls") else "")
            choice["message"] = {"role": "assistant", "content": content, **whole["message"]}
        return choice


def _extend(whole: dict[str, Any], part: dict[str, Any]) -> None:
    for name, value in part.items():
        if isinstance(value, list):
            whole.setdefault(name, []).extend(value)


def _merge_tool_calls(whole: list[dict[str, Any]], parts: list[dict[str, Any]]) -> None:
    for part in parts:
        index = part.get("index", len(whole))
        call = next((c for c in whole if c["index"] == index), None)
        if call is None:
            call = {"index": index, "id": "", "type": "function", "function": {}}
            whole.append(call)
        call["id"] = part.get("id") or call["id"]
        if part.get("extra_content"):
            # Signatures of Gemini's thoughts. Gemini refuses a history without them.
            call["extra_content"] = part["extra_content"]
        function = part.get("function") or {}
        if function.get("name"):
            call["function"]["name"] = function["name"]
        if function.get("arguments") is not None:
            known = call["function"].get("arguments", "")
            call["function"]["arguments"] = known + function["arguments"]
