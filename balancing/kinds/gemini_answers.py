"""Turns Gemini's answers into OpenAI's shape: streamed ones, whole ones, embeddings, errors.

Source: ai.google.dev/api/generate-content#v1beta.GenerateContentResponse and .../embeddings;
errors: google.rpc.Status with google.rpc.RetryInfo.
"""

from __future__ import annotations

import base64
import struct
from collections import Counter
from collections.abc import Iterator
from uuid import uuid4

import orjson

from balancing.kinds import shape
from balancing.kinds.shape import Chunks, Json, tool_call

# All other reasons mean that a filter stopped the answer.
FINISH = {"STOP": "stop", "MAX_TOKENS": "length"}
# A normal end if something was said before, else the sign of a filter.
_VAGUE = frozenset({"OTHER", "NO_IMAGE", "IMAGE_OTHER", "LANGUAGE"})
# The model made a call that is none. The same request often works the next time.
_FAILED = frozenset({"MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS",
                     "MALFORMED_RESPONSE", "MISSING_THOUGHT_SIGNATURE"})  # fmt: skip
_NOT_YET = (None, "", "FINISH_REASON_UNSPECIFIED")
_NOT_BLOCKED = (None, "", "BLOCK_REASON_UNSPECIFIED")


class GeminiStream:
    """Translates one stream of GenerateContentResponse objects."""

    def __init__(self) -> None:
        self.done = False
        self._chunks: Chunks | None = None
        self._usage: Json | None = None
        # Candidate -> number of its tool calls.
        self._calls: Counter[int] = Counter()
        # Candidates that have said something; whether anything answers the request at all.
        self._spoke: set[int] = set()
        self._has_answer = False

    def feed(self, event: Json) -> Iterator[Json]:
        if event.get("error"):
            yield event
            return
        if self._chunks is None:
            self._chunks = Chunks(event.get("modelVersion") or "")
            yield self._chunks.opening()
        if isinstance(usage := event.get("usageMetadata"), dict):
            self._usage = usage or self._usage
        for candidate in event.get("candidates") or ():
            self._has_answer = True
            yield from self._candidate(self._chunks, candidate)
        if (event.get("promptFeedback") or {}).get("blockReason") not in _NOT_BLOCKED:
            self._has_answer = True
            yield self._chunks.delta({}, finish_reason="content_filter")

    def end(self) -> Iterator[Json]:
        if not self._has_answer:
            raise shape.no_answer("no_answer", "the endpoint's answer holds no candidate")
        if self._chunks is not None and self._usage is not None:
            yield self._chunks.usage(usage_of(self._usage))

    def _candidate(self, chunks: Chunks, candidate: Json) -> Iterator[Json]:
        index = candidate.get("index") or 0
        for part in (candidate.get("content") or {}).get("parts") or ():
            if delta := self._delta(index, part):
                self._spoke.add(index)
                yield chunks.delta(delta, index=index)
        reason = candidate.get("finishReason")
        if reason not in _NOT_YET:
            if reason in _FAILED:
                told = candidate.get("finishMessage") or "the model's answer is no answer"
                raise shape.no_answer(str(reason).lower(), f"{reason}: {told}"[:1000])
            yield chunks.delta({}, index=index, finish_reason=self._finish(index, reason))

    def _finish(self, index: int, reason: str) -> str:
        if reason in _VAGUE and index in self._spoke:
            reason = "STOP"
        finish = FINISH.get(reason, "content_filter")
        return "tool_calls" if finish == "stop" and self._calls[index] else finish

    def _delta(self, index: int, part: Json) -> Json | None:
        if "functionCall" in part:
            return {"tool_calls": [self._call(index, part)]}
        if part.get("text"):
            return {"reasoning_content" if part.get("thought") else "content": part["text"]}
        return None

    def _call(self, index: int, part: Json) -> Json:
        asked = part["functionCall"]
        place = self._calls[index]
        self._calls[index] += 1
        arguments = orjson.dumps(asked.get("args") or {}).decode()
        identifier = asked.get("id") or f"call_{uuid4().hex[:24]}"
        call = tool_call(place, identifier, asked["name"], arguments)
        if signature := part.get("thoughtSignature"):
            # Google's OpenAI layer uses this field, too. Clients send it back with the history.
            call["extra_content"] = {"google": {"thought_signature": signature}}
        return call


def chunks_of(answer: Json) -> Iterator[Json]:
    """A whole answer as the chunks of a stream."""
    stream = GeminiStream()
    yield from stream.feed(answer)
    yield from stream.end()


def usage_of(usage: Json) -> Json:
    """OpenAI's usage. Gemini counts its thoughts apart from its answer; both cost output tokens."""
    counts = {name: n for name, n in usage.items() if shape.is_count(n)}
    thoughts = counts.get("thoughtsTokenCount", 0)
    return shape.usage(
        prompt=counts.get("promptTokenCount", 0) + counts.get("toolUsePromptTokenCount", 0),
        completion=counts.get("candidatesTokenCount", 0) + thoughts,
        cached=counts.get("cachedContentTokenCount", 0),
        reasoning=thoughts,
    )


def embeddings(answer: Json, asked: Json) -> Json:
    """The vectors as floats, or in base64 as little-endian float32 if the request asks for it.

    Gemini does not always count the tokens of embeddings; the usage is 0 then.
    """
    packed = asked.get("encoding_format") == "base64"
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": _packed(each["values"]) if packed else each["values"],
        }
        for index, each in enumerate(answer["embeddings"])
    ]
    tokens = (answer.get("usageMetadata") or {}).get("promptTokenCount") or 0
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": asked["model"], "usage": usage}


def _packed(values: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()
