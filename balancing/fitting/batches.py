"""Embeddings of more texts than a provider takes at once: several calls, one answer.

Source: ai.google.dev/api/embeddings ("at most 100 requests can be in one batch").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import orjson

from balancing.calls.answer import Answer
from balancing.endpoints.target import Target
from balancing.kinds.call import Call
from balancing.models.choices import Kind

MOST_TEXTS: Mapping[str, int] = {Kind.GEMINI: 100}


def parts_of(target: Target, call: Call) -> list[Call]:
    """The calls that ask for no more texts than the provider takes; one call if it takes all."""
    most = MOST_TEXTS.get(target.access.kind)
    if most is None:
        return [call]
    body = orjson.loads(call.body)
    texts = body.get("input")
    if not isinstance(texts, list) or len(texts) <= most:
        return [call]
    return [replace(call, body=_body(body, texts)) for texts in _cut(texts, most)]


def _cut(texts: list[Any], most: int) -> Iterator[list[Any]]:
    for begin in range(0, len(texts), most):
        yield texts[begin : begin + most]


def _body(body: Mapping[str, Any], texts: list[Any]) -> str:
    return orjson.dumps({**body, "input": texts}).decode()


class Joined:
    """The answers to the parts, in their order, as one.

    Each part is read and written as it comes, so that no step takes long.
    """

    def __init__(self) -> None:
        self._head: dict[str, Any] = {}
        self._data: list[str] = []
        self._count = 0
        self._tokens = {"prompt_tokens": 0, "total_tokens": 0}
        self._prompt_tokens: int | None = 0

    def add(self, answer: Answer) -> None:
        body = orjson.loads(answer.body)
        vectors = body.pop("data")
        for vector in vectors:
            vector["index"] += self._count
        self._count += len(vectors)
        if vectors:
            self._data.append(orjson.dumps(vectors).decode()[1:-1])
        for name in self._tokens:
            self._tokens[name] += (body.get("usage") or {}).get(name) or 0
        self._head = self._head or body
        if self._prompt_tokens is not None:
            told = answer.prompt_tokens
            self._prompt_tokens = None if told is None else self._prompt_tokens + told

    def answer(self, last: Answer) -> Answer:
        """One answer; `last` gives what is not of the body. A part's unknown count makes the sum
        unknown."""
        head = orjson.dumps({**self._head, "usage": self._tokens}).decode()
        body = f'{head[:-1]},"data":[{",".join(self._data)}]}}'
        return replace(last, body=body, prompt_tokens=self._prompt_tokens)
