"""A client of both doors that knows nothing of the project: urllib, JSON and a key."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

KEY = "testkey1." + "k" * 32
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Answer:
    """What came back; header names are in lower case."""

    status: int
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.raw)


class Client:
    """Calls below one base URL."""

    def __init__(self, url: str) -> None:
        self.url = url

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = KEY,
        timeout: float = PATIENCE_SECONDS,
        **headers: str,
    ) -> Answer:
        """One request; `body` is sent as JSON unless it is bytes.

        Raises:
            OSError: there was no answer, or half of one.
        """
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url + path, data=raw if body is not None else None, method=method
        )
        request.add_header("Content-Type", "application/json")
        if key is not None:
            request.add_header("Authorization", f"Bearer {key}")
        for name, value in headers.items():
            request.add_header(name.replace("_", "-"), value)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as response:
                return _answer(response.status, response.headers.items(), response.read())
        except urllib.error.HTTPError as error:
            return _answer(error.code, error.headers.items(), error.read())

    def chat(
        self,
        content: str,
        *,
        key: str | None = KEY,
        headers: Any = None,
        timeout: float = PATIENCE_SECONDS,
        **fields: Any,
    ) -> Answer:
        """`POST /v1/chat/completions` with one user message; `fields` are of its body."""
        messages = [{"role": "user", "content": content}]
        body = {"model": "fake-model", "messages": messages, **fields}
        path = "/v1/chat/completions"
        return self.call("POST", path, body, key=key, timeout=timeout, **(headers or {}))


def _answer(status: int, headers: Iterable[tuple[str, str]], raw: bytes) -> Answer:
    return Answer(status, {name.lower(): value for name, value in headers}, raw)
