"""Does an endpoint work? An operator's test: list its models, then ask for one token."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import orjson

from balancing.calls.answer import Answer
from balancing.calls.client import Client
from balancing.endpoints.columns import UnreadableColumn
from balancing.endpoints.registry import target_of
from balancing.endpoints.target import Target
from balancing.errors import CallError, Refused
from balancing.kinds.call import Call, Timeouts
from balancing.models import Endpoint

PATIENCE = Timeouts(connect=5.0, first_token=20.0, stall=10.0, total=30.0)
# Reasoning models need more than one token, and OpenAI's need this field for it.
_THINKERS_TOKENS = 64


@dataclass(frozen=True, slots=True)
class EndpointReport:
    """The result of a test; `text` is for operators."""

    worked: bool
    text: str


def run(endpoint: Endpoint) -> EndpointReport:
    """Test an endpoint, whatever its state; takes up to a minute."""
    try:
        target = target_of(endpoint)
    except UnreadableColumn as error:
        return EndpointReport(False, f"{endpoint.name}: its row cannot be read: {error}")
    return asyncio.run(_test(target))


async def _test(target: Target) -> EndpointReport:
    client = Client()
    try:
        listed = await _models(client, target)
        if not target.model_names:
            return EndpointReport(False, f"{target.name}: no model is known of it. {listed}")
        if not target.apis:
            text = f"{target.name}: it serves no API of this version. {listed}"
            return EndpointReport(False, text)
        began = time.perf_counter()
        try:
            answer = await _ask(client, target)
        except CallError as error:
            worked, told = False, f"failed: {error.code}: {error}"
        else:
            seconds = time.perf_counter() - began
            worked, told = True, f"answered in {seconds:.2f} s ({_tokens(answer)})"
    finally:
        await client.close()
    told = f"{target.name}, model {_model(target)}: {told}. {listed}"
    return EndpointReport(worked, f"{told} {_missing_credential(target)}".strip())


async def _models(client: Client, target: Target) -> str:
    """Whether it lists the models of its row; many servers have no list."""
    try:
        listed = await client.models(target, PATIENCE)
    except CallError as error:
        return f"It does not list its models ({error.code})."
    missing = sorted(target.model_names - set(listed))
    if not missing:
        return f"It lists {len(listed)} models, all of these among them."
    return f"It lists {len(listed)} models, but not {', '.join(missing[:5])}."


async def _ask(client: Client, target: Target) -> Answer:
    call = _call(target)
    try:
        return await client.call(target, call, lambda _text, _piece: None)
    except Refused as refusal:
        if "max_completion_tokens" not in str(refusal):
            raise
    body = {**orjson.loads(call.body), "max_completion_tokens": _THINKERS_TOKENS}
    body.pop("max_tokens")
    again = replace(call, body=orjson.dumps(body).decode())
    return await client.call(target, again, lambda _text, _piece: None)


def _call(target: Target) -> Call:
    bodies: dict[str, dict[str, Any]] = {
        "chat": {"messages": [{"role": "user", "content": "Say: ok"}], "max_tokens": 1},
        "completion": {"prompt": "Say: ok", "max_tokens": 1},
        "embedding": {"input": "ok"},
    }
    api = next(name for name in bodies if name in target.apis)
    body = {"model": _model(target), **bodies[api]}
    return Call(uuid4(), api, orjson.dumps(body).decode(), False, PATIENCE)


def _model(target: Target) -> str:
    return min(target.model_names)


def _tokens(answer: Answer) -> str:
    if answer.prompt_tokens is None:
        return "it counts no tokens"
    return f"{answer.prompt_tokens} tokens in, {answer.completion_tokens or 0} out"


def _missing_credential(target: Target) -> str:
    """A note if the variable is missing in this process; workers may have it nevertheless."""
    name = target.api_key_variable
    if target.access.encrypted_credential or not name or os.environ.get(name):
        return ""
    return f"{name} is not in the environment of this web process: it called without a credential."
