"""The JSON of an answer: deterministic text, one word a token, and OpenAI's shapes.

The same prompt and seed always give the same words, so a test can tell whose answer it got.
"""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import orjson

from tests.fake_llm.behaviour import without_directives

WORDS = (
    "amber birch cedar delta ember fjord grove heron inlet jade kelp larch maple north "
    "ocean pine quartz river stone tide umber vale willow yarrow zephyr"
)
VOCABULARY = WORDS.split()
EMBEDDING_DIMENSIONS = 8


@dataclass(frozen=True, slots=True)
class Question:
    """What the client asked: the last user message and the figures around it."""

    model: str
    prompt: str
    prompt_tokens: int
    max_tokens: int | None
    stream: bool
    include_usage: bool
    chat: bool


def question(body: dict[str, Any], *, chat: bool) -> Question:
    """Read a request body.

    Raises:
        ValueError: there is no prompt in it.
    """
    texts = _texts(body.get("messages") if chat else body.get("prompt"))
    if not texts:
        raise ValueError("'messages' is required" if chat else "'prompt' is required")
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    options = body.get("stream_options") or {}
    return Question(
        model=str(body.get("model", "")),
        prompt=texts[-1],
        prompt_tokens=sum(text.count(" ") + 1 for text in texts),
        max_tokens=None if limit is None else int(limit),
        stream=bool(body.get("stream")),
        include_usage=bool(options.get("include_usage")),
        chat=chat,
    )


def words(prompt: str, *, seed: int, count: int, echo: bool) -> list[str]:
    """The tokens of an answer. Each ends with one space, so spaces count tokens.

    The first is a checksum of prompt and seed: it tells answers apart.
    """
    if echo:
        return [f"{word} " for word in without_directives(prompt).split()]
    checksum = zlib.crc32(f"{seed} {prompt}".encode())
    return [f"{word} " for word in islice(_walk(checksum), count)]


class Frames:
    """Renders one answer, streamed or whole; what repeats is rendered once."""

    def __init__(self, asked: Question, *, answer_id: str, created: int) -> None:
        self._asked = asked
        kind = "chat.completion" if asked.chat else "text_completion"
        self._head = {"id": answer_id, "object": kind, "created": created, "model": asked.model}
        chunk = self._head | {"object": "chat.completion.chunk"} if asked.chat else self._head
        self._prefix = b"data: " + orjson.dumps(chunk)[:-1]

    def role(self) -> bytes:
        if not self._asked.chat:
            return b""
        return self._prefix + (
            b',"choices":[{"index":0,"delta":{"role":"assistant","content":""},'
            b'"finish_reason":null}]}\n\n'
        )

    def token(self, word: str) -> bytes:
        template = _CHAT_TOKEN if self._asked.chat else _TEXT_TOKEN
        return self._prefix + template % orjson.dumps(word)

    def last(self, *, finish_reason: str, completion_tokens: int) -> bytes:
        delta: dict[str, Any] = {"delta": {}} if self._asked.chat else {"text": ""}
        choice = {"index": 0, **delta, "finish_reason": finish_reason}
        frames = [self._prefix, b',"choices":', orjson.dumps([choice]), b"}\n\n"]
        if self._asked.include_usage:
            usage = orjson.dumps(self._usage(completion_tokens))
            frames += [self._prefix, b',"choices":[],"usage":', usage, b"}\n\n"]
        return b"".join([*frames, b"data: [DONE]\n\n"])

    def whole(self, text: str, *, finish_reason: str, completion_tokens: int) -> bytes:
        content: dict[str, Any] = {"text": text}
        if self._asked.chat:
            content = {"message": {"role": "assistant", "content": text}}
        choice = {"index": 0, **content, "finish_reason": finish_reason}
        usage = self._usage(completion_tokens)
        return orjson.dumps({**self._head, "choices": [choice], "usage": usage})

    def _usage(self, completion_tokens: int) -> dict[str, int]:
        prompt_tokens = self._asked.prompt_tokens
        return {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt_tokens + completion_tokens,
        }


def embeddings(body: dict[str, Any]) -> bytes:
    """Deterministic vectors, as floats or (the OpenAI SDK's default) base64 of float32."""
    texts = _texts(body.get("input"))
    packed = body.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": vector(text, packed=packed)}
        for index, text in enumerate(texts)
    ]
    tokens = sum(text.count(" ") + 1 for text in texts)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return orjson.dumps(
        {"object": "list", "data": data, "model": body.get("model", ""), "usage": usage}
    )


def model_list(models: tuple[str, ...]) -> bytes:
    data = [{"id": m, "object": "model", "created": 0, "owned_by": "fake"} for m in models]
    return orjson.dumps({"object": "list", "data": data})


def error(status: int, message: str) -> bytes:
    kind = "server_error" if status >= 500 else "invalid_request_error"
    body = {"message": message, "type": kind, "param": None, "code": None}
    return orjson.dumps({"error": body})


_CHAT_TOKEN = b',"choices":[{"index":0,"delta":{"content":%b},"finish_reason":null}]}\n\n'
_TEXT_TOKEN = b',"choices":[{"index":0,"text":%b,"finish_reason":null}]}\n\n'


def _walk(checksum: int) -> Iterator[str]:
    yield f"{checksum:08x}"
    position = checksum
    while True:
        # Multiplier and increment give the full cycle over 25 words.
        position = (position * 6 + 3) % len(VOCABULARY)
        yield VOCABULARY[position]


def _texts(value: Any) -> list[str]:
    """The texts of a prompt, a list of prompts, or a list of messages."""
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list):
        return []
    return [_text(item) for item in value]


def _text(item: Any) -> str:
    """The text of a string, a message, or a message made of parts."""
    if isinstance(item, dict):
        content = item.get("content")
        if isinstance(content, list):
            return " ".join(str(part.get("text", "")) for part in content)
        return str(content or "")
    return str(item)


def vector(text: str, *, packed: bool) -> list[float] | str:
    """The embedding of a text."""
    values = [
        zlib.crc32(f"{index}:{text}".encode()) / 2**31 - 1 for index in range(EMBEDDING_DIMENSIONS)
    ]
    if packed:
        return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()
    return values
