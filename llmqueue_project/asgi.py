"""The web process: the lean application for held connections, Django for the rest."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import MutableMapping
from typing import Any

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llmqueue_project.settings")
django_application: Any = get_asgi_application()

from conversations.doors.application import lean_application  # noqa: E402 - models need Django
from conversations.doors.lean.leaving import Leaving  # noqa: E402
from conversations.doors.lean.wire import Receive, Scope, Send  # noqa: E402
from llmqueue_project.config import configuration  # noqa: E402
from stores.memory import Memory, kept  # noqa: E402
from stores.pooler import PoolerBetween  # noqa: E402

# Beyond the limit the view refuses; far beyond it nobody listens any more.
SPARE_BYTES = 16 * 1024 * 1024
memory = Memory()
lean = lean_application(memory)
leaving = memory.of(Leaving)


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    if leaving.begun:
        send = _parting(scope, send)
    if scope["type"] == "http" and lean.serves(scope["path"]):
        await lean(scope, receive, send)
    elif scope["type"] == "http":
        await _bounded(scope, receive, send)


def _parting(scope: Scope, send: Send) -> Send:
    """The answer ends its connection, so that the next request on it goes elsewhere."""
    if not scope.get("http_version", "").startswith("1"):
        return send

    async def parted(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], (b"connection", b"close")]
        await send(message)

    return parted


async def _bounded(scope: Scope, receive: Receive, send: Send) -> None:
    """Django, with an end to what a client may send: it spools a body before any view sees it."""
    limit = configuration().web.max_body_bytes + SPARE_BYTES
    received = 0

    async def counted() -> Any:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        return message if received <= limit else {"type": "http.disconnect"}

    with kept(memory):
        await django_application(scope, counted, send)


def _leave_at_sigterm(tasks: set[asyncio.Task[None]]) -> None:
    """SIGTERM begins the way out; SIGINT stays the server's own: it stops accepting, and waits."""
    if threading.current_thread() is not threading.main_thread():
        return
    web, loop = configuration().web, asyncio.get_running_loop()

    def leave() -> None:
        if not tasks:
            way_out = leaving.leave(
                accept_seconds=web.shutdown_accept_seconds,
                grace_seconds=web.shutdown_grace_seconds,
                stop_accepting=lambda: signal.raise_signal(signal.SIGINT),
            )
            tasks.add(loop.create_task(way_out))

    loop.add_signal_handler(signal.SIGTERM, leave)


async def _lifespan(receive: Receive, send: Send) -> None:
    tasks: set[asyncio.Task[None]] = set()
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            try:
                await lean.open()
            except PoolerBetween as error:
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                return
            _leave_at_sigterm(tasks)
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            for task in tasks:
                task.cancel()
            await lean.close()
            await send({"type": "lifespan.shutdown.complete"})
            return
