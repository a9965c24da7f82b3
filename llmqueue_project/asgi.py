"""The web process: the lean application for held connections, Django for the rest."""

from __future__ import annotations

import os
from typing import Any

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llmqueue_project.settings")
django_application: Any = get_asgi_application()

from conversations.doors.application import lean_application  # noqa: E402 - models need Django
from conversations.doors.lean.wire import Receive, Scope, Send  # noqa: E402
from llmqueue_project.config import configuration  # noqa: E402
from stores.memory import Memory, kept  # noqa: E402
from stores.pooler import PoolerBetween  # noqa: E402

# Beyond the limit the view refuses; far beyond it nobody listens any more.
SPARE_BYTES = 16 * 1024 * 1024
memory = Memory()
lean = lean_application(memory)


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
    elif scope["type"] == "http" and lean.serves(scope["path"]):
        await lean(scope, receive, send)
    elif scope["type"] == "http":
        await _bounded(scope, receive, send)


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


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            try:
                await lean.open()
            except PoolerBetween as error:
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                return
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await lean.close()
            await send({"type": "lifespan.shutdown.complete"})
            return
