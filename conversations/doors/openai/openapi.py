"""How does the OpenAPI document describe `/v1`?"""

from __future__ import annotations

from typing import Any

from conversations.doors.lean.openapi import header, operation
from conversations.doors.openai.request import PATHS
from scheduling.models import Api

_OURS: dict[str, Any] = {
    "service_tier": {
        "type": "string",
        "description": "`priority` is high, `flex` is low; others name no level",
    },
    "priority": {
        "type": "string",
        "enum": ["realtime", "high", "normal", "low"],
        "description": "a number names no level",
    },
}
_HEADERS = [
    header("X-Priority", ["realtime", "high", "normal", "low"]),
    header("X-Timeout-Seconds"),
    header("X-Early-Headers"),
    header("X-Request-ID"),
]


def paths() -> dict[str, Any]:
    return {
        PATHS[Api.CHAT]: {"post": _chat()},
        PATHS[Api.COMPLETION]: {"post": _completion()},
        PATHS[Api.EMBEDDING]: {"post": _embeddings()},
        "/v1/models": {"get": _models()},
        "/v1/models/{model}": {"get": _model()},
    }


def _chat() -> dict[str, Any]:
    return _generation(
        "create_chat_completion", "OpenAI's chat completions", "A chat completion", _chat_request()
    )


def _completion() -> dict[str, Any]:
    return _generation(
        "create_completion", "OpenAI's legacy completions", "A completion", _completion_request()
    )


def _generation(name: str, what: str, answer: str, request: dict[str, Any]) -> dict[str, Any]:
    found = operation(
        "openai",
        name,
        f"{what}, through the queue. Unknown fields pass to the endpoint. "
        "With `stream` the answer is server-sent events; comments report the position meanwhile.",
        {
            "200": {
                "description": f"{answer}, or a stream of chunks",
                "content": {
                    "application/json": {"schema": {"type": "object"}},
                    "text/event-stream": {"schema": {"type": "string"}},
                },
            },
            **_errors(),
        },
    )
    found["requestBody"] = {
        "required": True,
        "content": {"application/json": {"schema": request}},
    }
    found["parameters"] = [*_HEADERS, header("Idempotency-Key")]
    return found


def _embeddings() -> dict[str, Any]:
    found = operation(
        "openai",
        "create_embeddings",
        "OpenAI's embeddings, through the queue. Unknown fields pass to the endpoint.",
        {
            "200": {
                "description": "A list of vectors",
                "content": {"application/json": {"schema": {"type": "object"}}},
            },
            **_errors(),
        },
    )
    text = {"type": "string"}
    schema = {
        "type": "object",
        "required": ["model", "input"],
        "additionalProperties": True,
        "properties": {
            "model": text,
            "input": {"oneOf": [text, {"type": "array", "items": {}}]},
            "encoding_format": {"type": "string", "enum": ["float", "base64"]},
            "dimensions": {"type": "integer"},
        },
    }
    found["requestBody"] = {
        "required": True,
        "content": {"application/json": {"schema": schema}},
    }
    found["parameters"] = _HEADERS
    return found


def _completion_request() -> dict[str, Any]:
    text = {"type": "string"}
    return {
        "type": "object",
        "required": ["model", "prompt"],
        "additionalProperties": True,
        "properties": {
            "model": text,
            "prompt": {"oneOf": [text, {"type": "array", "items": {}}]},
            "stream": {"type": "boolean", "default": False},
            "max_tokens": {"type": "integer"},
            **_OURS,
        },
    }


def _chat_request() -> dict[str, Any]:
    message = {
        "type": "object",
        "required": ["role"],
        "properties": {"role": {"type": "string"}, "content": {}},
    }
    return {
        "type": "object",
        "required": ["model", "messages"],
        "additionalProperties": True,
        "properties": {
            "model": {"type": "string"},
            "messages": {"type": "array", "items": message},
            "stream": {"type": "boolean", "default": False},
            **_OURS,
        },
        "example": {
            "model": "smollm2-135m-instruct",
            "messages": [{"role": "user", "content": "Say hello."}],
        },
    }


def _models() -> dict[str, Any]:
    answer = {
        "description": "The models that endpoints serve",
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
    responses = {"200": answer, **_errors("401")}
    return operation("openai", "list_models", "The models that can be named.", responses)


def _model() -> dict[str, Any]:
    answer = {
        "description": "The model",
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
    responses = {"200": answer, **_errors("401", "404")}
    found = operation("openai", "get_model", "One model that can be named.", responses)
    name = {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}
    return found | {"parameters": [name]}


def _errors(*only: str) -> dict[str, Any]:
    error = {
        "type": "object",
        "properties": {
            "error": {
                "type": "object",
                "properties": {
                    "message": {"type": "string"},
                    "type": {"type": "string"},
                    "param": {"type": "string", "nullable": True},
                    "code": {"type": "string", "nullable": True},
                },
            }
        },
    }
    meanings = {
        "400": "the request is not valid",
        "401": "no valid API key",
        "404": "no such model",
        "413": "the body is too large",
        "415": "the content encoding is not taken",
        "408": "its time passed while it waited",
        "429": "the queue is full; see Retry-After",
        "503": "try again after Retry-After",
    }
    return {
        status: {"description": meaning, "content": {"application/json": {"schema": error}}}
        for status, meaning in meanings.items()
        if not only or status in only
    }
