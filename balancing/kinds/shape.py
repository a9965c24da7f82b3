"""OpenAI's shapes, for kinds that speak another API: chunks, whole answers, usage, errors."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import orjson

from balancing.errors import Broken, Refused
from balancing.kinds.assembly import Assembly

Json = dict[str, Any]


class Chunks:
    """Makes the chunks of one answer; the reader of the stream fills in `id`."""

    def __init__(self, model: str) -> None:
        self._head = {
            "id": "",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": model,
        }

    def delta(self, delta: Json, *, index: int = 0, finish_reason: str | None = None) -> Json:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return {**self._head, "choices": [choice]}

    def opening(self, index: int = 0) -> Json:
        return self.delta({"role": "assistant", "content": ""}, index=index)

    def usage(self, usage: Json) -> Json:
        return {**self._head, "choices": [], "usage": usage}


def tool_call(index: int, identifier: str, name: str, arguments: str) -> Json:
    """The first (or only) part of a streamed tool call."""
    function = {"name": name, "arguments": arguments}
    return {"index": index, "id": identifier, "type": "function", "function": function}


def whole(chunks: Iterable[Json]) -> Json:
    """The unstreamed answer that consists of these chunks."""
    assembly = Assembly()
    for chunk in chunks:
        assembly.feed(chunk)
    response = assembly.response()
    for choice in response["choices"]:
        for call in choice["message"].get("tool_calls", ()):
            call.pop("index", None)
    return response


def is_count(value: Any) -> bool:
    """Whether this is a number of tokens; what gateways write beside that counts as not told."""
    return isinstance(value, int) and not isinstance(value, bool)


def usage(
    *, prompt: int, completion: int, cached: int | None = None, reasoning: int | None = None
) -> Json:
    """Token counts. `cached` is part of the prompt, `reasoning` is part of the completion."""
    counts: Json = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    if cached is not None:
        counts["prompt_tokens_details"] = {"cached_tokens": cached}
    if reasoning is not None:
        counts["completion_tokens_details"] = {"reasoning_tokens": reasoning}
    return counts


def error(
    message: str, *, error_type: str, param: str | None = None, code: str | None = None
) -> str:
    body = {"message": message, "type": error_type, "param": param, "code": code}
    return orjson.dumps({"error": body}).decode()


def unsupported(message: str, param: str | None = None) -> Refused:
    """The error for a request that the provider cannot do: the client gets a 400."""
    body = error(message, error_type="invalid_request_error", param=param, code="unsupported")
    return Refused("unsupported", message, status=400, body=body)


def no_answer(code: str, message: str) -> Broken:
    """The error for an answer that answers nothing: the attempt has failed."""
    return Broken(code, message)


def only_one_choice(body: Json, provider: str) -> None:
    if body.get("n") not in (None, 1):
        raise unsupported(f"{provider} gives one answer a request", "n")


def limit(body: Json) -> int | None:
    """The longest answer that a request allows, in tokens; None for no limit, as -1 or 0."""
    value = int(body.get("max_completion_tokens") or body.get("max_tokens") or 0)
    return value if value > 0 else None


def stops(body: Json) -> list[str]:
    """The texts that end the answer, without empty ones."""
    stop: Any = body.get("stop")
    return [text for text in ([stop] if isinstance(stop, str) else stop or ()) if text]


def above_zero(body: Json, name: str) -> Any:
    """A number of the request; None for 0 and below, by which clients say that it is off."""
    value = body.get(name)
    return value if value is not None and value > 0 else None


def schema_of(body: Json, provider: str) -> Json | None:
    """The JSON schema that the answer must follow; None if the request names none."""
    wanted = body.get("response_format") or {"type": "text"}
    if wanted["type"] == "json_schema":
        schema: Json = wanted["json_schema"].get("schema") or {}
        return schema
    if wanted["type"] not in ("text", "json_object"):
        raise unsupported(f"{provider} knows no such format", "response_format")
    return None


def closed(schema: Any) -> Any:
    """The schema with `additionalProperties: false` where an object leaves it open.

    Anthropic refuses an open one, and its SDKs close it likewise. What follows the closed schema
    follows the open one, too.
    """
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    whole = {name: closed(value) for name, value in schema.items()}
    told = schema.get("type")
    if told == "object" or (isinstance(told, list) and "object" in told):
        whole.setdefault("additionalProperties", False)
    return whole
