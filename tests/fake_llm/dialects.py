"""Anthropic's and Gemini's shapes of the same answers; the path says which a client speaks.

Sources: platform.claude.com/docs/en/build-with-claude/streaming,
ai.google.dev/api/generate-content.
"""

from __future__ import annotations

import re
from typing import Any, Protocol

import orjson

from tests.fake_llm.answers import Frames, Question, error, question
from tests.fake_llm.answers import vector as embedding_vector

GEMINI = re.compile(r"/v1(?:beta)?/models/([^:]+):(\w+)")
AZURE = re.compile(r"/openai(?:/deployments/[^/]+|/v1)(/chat/completions|/completions|/embeddings)")


class Rendering(Protocol):
    """One answer in one dialect: what a generation sends."""

    def role(self) -> bytes: ...

    def token(self, word: str) -> bytes: ...

    def last(self, *, finish_reason: str, completion_tokens: int) -> bytes: ...

    def whole(self, text: str, *, finish_reason: str, completion_tokens: int) -> bytes: ...


class AnthropicFrames:
    def __init__(self, asked: Question, *, answer_id: str) -> None:
        self._asked = asked
        self._message: dict[str, Any] = {
            "id": f"msg_{answer_id}",
            "type": "message",
            "role": "assistant",
            "model": asked.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
        }

    def role(self) -> bytes:
        usage = {"input_tokens": self._asked.prompt_tokens, "output_tokens": 1}
        block = {"type": "text", "text": ""}
        return _event("message_start", message={**self._message, "usage": usage}) + _event(
            "content_block_start", index=0, content_block=block
        )

    def token(self, word: str) -> bytes:
        return _event("content_block_delta", index=0, delta={"type": "text_delta", "text": word})

    def last(self, *, finish_reason: str, completion_tokens: int) -> bytes:
        delta = {"stop_reason": _STOPS[finish_reason], "stop_sequence": None}
        usage = {"output_tokens": completion_tokens}
        return b"".join(
            [
                _event("content_block_stop", index=0),
                _event("message_delta", delta=delta, usage=usage),
                _event("message_stop"),
            ]
        )

    def whole(self, text: str, *, finish_reason: str, completion_tokens: int) -> bytes:
        told = {
            "content": [{"type": "text", "text": text}],
            "stop_reason": _STOPS[finish_reason],
            "usage": {
                "input_tokens": self._asked.prompt_tokens,
                "output_tokens": completion_tokens,
            },
        }
        return orjson.dumps({**self._message, **told})


class GeminiFrames:
    def __init__(self, asked: Question, *, answer_id: str) -> None:
        self._asked = asked
        self._head = {"modelVersion": asked.model, "responseId": answer_id}

    def role(self) -> bytes:
        return b""

    def token(self, word: str) -> bytes:
        return b"data: " + orjson.dumps(self._response(word, 1)) + b"\r\n\r\n"

    def last(self, *, finish_reason: str, completion_tokens: int) -> bytes:
        response = self._response("", completion_tokens, _FINISHES[finish_reason])
        return b"data: " + orjson.dumps(response) + b"\r\n\r\n"

    def whole(self, text: str, *, finish_reason: str, completion_tokens: int) -> bytes:
        return orjson.dumps(self._response(text, completion_tokens, _FINISHES[finish_reason]))

    def _response(self, text: str, tokens: int, reason: str = "") -> dict[str, Any]:
        content = {"role": "model", "parts": [{"text": text}]}
        finish = {"finishReason": reason} if reason else {}
        usage = {
            "promptTokenCount": self._asked.prompt_tokens,
            "candidatesTokenCount": tokens,
            "totalTokenCount": self._asked.prompt_tokens + tokens,
        }
        candidate = {"content": content, "index": 0, **finish}
        return {"candidates": [candidate], "usageMetadata": usage, **self._head}


def anthropic_question(fields: dict[str, Any]) -> Question:
    if "max_tokens" not in fields:
        raise ValueError("max_tokens: Field required")
    return question(fields, chat=True)


def gemini_question(model: str, method: str, fields: dict[str, Any]) -> Question:
    messages = [{"content": turn["parts"]} for turn in fields.get("contents") or ()]
    asked = {
        "model": model,
        "messages": messages,
        "max_tokens": (fields.get("generationConfig") or {}).get("maxOutputTokens"),
        "stream": method == "streamGenerateContent",
    }
    return question(asked, chat=True)


def gemini_embeddings(fields: dict[str, Any]) -> bytes:
    texts = [each["content"]["parts"][0]["text"] for each in fields["requests"]]
    vectors = [{"values": embedding_vector(text, packed=False)} for text in texts]
    return orjson.dumps({"embeddings": vectors})


def gemini_models(models: tuple[str, ...]) -> bytes:
    return orjson.dumps({"models": [{"name": f"models/{name}"} for name in models]})


def frames_for(path: str, asked: Question, *, answer_id: str, created: int) -> Rendering:
    if path.endswith("/messages"):
        return AnthropicFrames(asked, answer_id=answer_id)
    if GEMINI.fullmatch(path):
        return GeminiFrames(asked, answer_id=answer_id)
    return Frames(asked, answer_id=answer_id, created=created)


def error_for(path: str, status: int, message: str) -> bytes:
    """An error in the shape of the API that a path belongs to."""
    if path.endswith("/messages"):
        kind = _ERRORS.get(status, "api_error" if status >= 500 else "invalid_request_error")
        body: dict[str, Any] = {"type": "error", "error": {"type": kind, "message": message}}
    elif GEMINI.fullmatch(path):
        body = {"error": {"code": status, "message": message, "status": "UNKNOWN"}}
    else:
        return error(status, message)
    return orjson.dumps(body)


_STOPS = {"stop": "end_turn", "length": "max_tokens"}
_FINISHES = {"stop": "STOP", "length": "MAX_TOKENS"}
_ERRORS = {429: "rate_limit_error", 529: "overloaded_error", 401: "authentication_error"}


def _event(name: str, **fields: Any) -> bytes:
    data = orjson.dumps({"type": name, **fields})
    return b"event: %b\ndata: %b\n\n" % (name.encode(), data)
