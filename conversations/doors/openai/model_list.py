"""`GET /v1/models` and `/v1/models/{model}`: which models can be asked for?"""

from __future__ import annotations

import time
from typing import Any

import orjson

from conversations.doors.lean.backend import Backend
from conversations.doors.lean.refusals import Refusal
from conversations.doors.lean.wire import Exchange

STARTED_AT = time.time()


async def list_models(backend: Backend, exchange: Exchange) -> None:
    await backend.caller(exchange)
    data = [_card(name) for name in await backend.models()]
    await exchange.answer(200, orjson.dumps({"object": "list", "data": data}))


async def one_model(backend: Backend, exchange: Exchange) -> None:
    await backend.caller(exchange)
    [name] = exchange.parameters
    if not await backend.apis_of(name):
        raise Refusal(404, "model_not_found", f"the model {name!r} does not exist", param="model")
    await exchange.answer(200, orjson.dumps(_card(name)))


def _card(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": int(STARTED_AT), "owned_by": "llmqueue"}
