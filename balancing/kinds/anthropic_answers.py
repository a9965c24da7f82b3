"""Turns Anthropic's answers into OpenAI's shape: events of a stream, and whole messages.

Source: platform.claude.com/docs/en/build-with-claude/streaming and .../api/errors.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from balancing.kinds import shape
from balancing.kinds.shape import Chunks, Json, tool_call

FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


class AnthropicStream:
    """Translates one stream of server-sent events."""

    def __init__(self) -> None:
        self.done = False
        self._chunks = Chunks("")
        self._usage: Json = {}
        # Content block -> its place among the tool calls; blocks whose arguments have come.
        self._tools: dict[int, int] = {}
        self._argued: set[int] = set()
        # Content block -> a thought that the next tool call takes along; the pieces of its text.
        self._thoughts: dict[int, Json] = {}
        self._pieces: dict[int, list[str]] = {}

    def feed(self, event: Json) -> Iterator[Json]:
        match event["type"]:
            case "message_start":
                self._chunks = Chunks(event["message"]["model"])
                self._count(event["message"].get("usage"))
                yield self._chunks.opening()
            case "content_block_start":
                yield from self._start(event["index"], event["content_block"])
            case "content_block_delta":
                yield from self._delta(event["index"], event["delta"])
            case "content_block_stop":
                yield from self._stop(event["index"])
            case "message_delta":
                self._count(event.get("usage"))
                if reason := event["delta"].get("stop_reason"):
                    finish = FINISH.get(reason, "stop")
                    yield self._chunks.delta({}, finish_reason=finish)
            case "message_stop":
                self.done = True
            case "error":
                yield event

    def end(self) -> Iterator[Json]:
        if self._usage:
            yield self._chunks.usage(usage_of(self._usage))

    def _start(self, block: int, content: Json) -> Iterator[Json]:
        match content["type"]:
            case "tool_use":
                place = self._tools[block] = len(self._tools)
                given = content.get("input")
                arguments = orjson.dumps(given).decode() if given else ""
                if arguments:
                    self._argued.add(block)
                call = tool_call(place, content["id"], content["name"], arguments)
                if thoughts := self._signed_thoughts():
                    # Clients send this field back with the history, and Anthropic wants its
                    # thoughts back with the tool's result.
                    call["extra_content"] = {"anthropic": {"thinking_blocks": thoughts}}
                yield self._chunks.delta({"tool_calls": [call]})
            case "text" if content.get("text"):
                yield self._chunks.delta({"content": content["text"]})
            case "thinking":
                self._thoughts[block] = {"type": "thinking", "thinking": "", "signature": ""}
                yield from self._think(block, content.get("thinking") or "")
                self._sign(block, content.get("signature") or "")
            case "redacted_thinking":
                self._thoughts[block] = content

    def _delta(self, block: int, delta: Json) -> Iterator[Json]:
        match delta["type"]:
            case "text_delta":
                yield self._chunks.delta({"content": delta["text"]})
            case "thinking_delta":
                yield from self._think(block, delta["thinking"])
            case "signature_delta":
                self._sign(block, delta["signature"])
            case "input_json_delta" if block in self._tools and delta["partial_json"]:
                self._argued.add(block)
                yield self._arguments(block, delta["partial_json"])

    def _think(self, block: int, text: str) -> Iterator[Json]:
        if block in self._thoughts:
            self._pieces.setdefault(block, []).append(text)
        if text:
            yield self._chunks.delta({"reasoning_content": text})

    def _sign(self, block: int, signature: str) -> None:
        if thought := self._thoughts.get(block):
            thought["signature"] += signature

    def _signed_thoughts(self) -> list[Json]:
        """The thoughts since the last tool call, without those that nobody has signed."""
        for block, pieces in self._pieces.items():
            self._thoughts[block]["thinking"] = "".join(pieces)
        found = list(self._thoughts.values())
        self._thoughts.clear()
        self._pieces.clear()
        return [thought for thought in found if thought.get("signature") or "data" in thought]

    def _stop(self, block: int) -> Iterator[Json]:
        if block in self._tools and block not in self._argued:
            # OpenAI's clients parse the arguments of every call, and "" is not JSON.
            yield self._arguments(block, "{}")

    def _arguments(self, block: int, text: str) -> Json:
        call = {"index": self._tools[block], "function": {"arguments": text}}
        return self._chunks.delta({"tool_calls": [call]})

    def _count(self, usage: Any) -> None:
        """Add counts; each is cumulative, so that the last one holds."""
        if isinstance(usage, dict):
            self._usage |= {name: n for name, n in usage.items() if shape.is_count(n)}


def chunks_of(message: Json) -> Iterator[Json]:
    """A whole message as the chunks of a stream."""
    stream = AnthropicStream()
    yield from stream.feed({"type": "message_start", "message": message})
    for place, block in enumerate(message["content"]):
        yield from stream.feed(
            {"type": "content_block_start", "index": place, "content_block": block}
        )
        yield from stream.feed({"type": "content_block_stop", "index": place})
    yield from stream.feed({"type": "message_delta", "delta": message})
    yield from stream.end()


def usage_of(usage: Json) -> Json:
    """OpenAI's usage. Anthropic does not count cached tokens as input tokens; OpenAI does."""
    cached = usage.get("cache_read_input_tokens") or 0
    written = usage.get("cache_creation_input_tokens") or 0
    prompt = (usage.get("input_tokens") or 0) + cached + written
    return shape.usage(prompt=prompt, completion=usage.get("output_tokens") or 0, cached=cached)
