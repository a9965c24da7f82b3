"""A web process keeps one memory: for the lean application, and for every request of Django's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from llmqueue_project import asgi, wsgi
from stores.memory import remembered


class Remembered:
    """Something that a view would look up."""


async def never() -> Any:
    raise AssertionError("nothing is read")


async def nowhere(_message: Any) -> None:
    raise AssertionError("nothing is sent")


async def test_requests_of_an_asgi_process_share_its_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[Remembered] = []

    async def django(_scope: Any, _receive: Any, _send: Any) -> None:
        # As Django runs a view: in a thread, with a copy of the context.
        seen.append(await sync_to_async(remembered)(Remembered))

    monkeypatch.setattr(asgi, "django_application", django)

    for _ in range(2):
        await asgi.application({"type": "http", "path": "/api/v1/messages"}, never, nowhere)

    assert seen == [asgi.memory.of(Remembered)] * 2
    assert remembered(Remembered) is not seen[0], "nobody keeps a memory outside of a request"


def test_the_lean_application_has_the_same_memory() -> None:
    assert asgi.lean._memory is asgi.memory


def test_requests_of_a_wsgi_process_share_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Remembered] = []

    def django(_environ: Any, _start_response: Any) -> Iterable[bytes]:
        seen.append(remembered(Remembered))
        return [b"answer"]

    monkeypatch.setattr(wsgi, "django_application", django)

    answers = [wsgi.application({}, lambda *_: lambda _data: None) for _ in range(2)]

    assert answers == [[b"answer"]] * 2
    assert seen == [wsgi.memory.of(Remembered)] * 2
