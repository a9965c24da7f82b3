"""The OpenAPI of what the lean application serves: `/v1`, event streams and health."""

from __future__ import annotations

from typing import Any

SCHEME = "apiKey"
_OURS: dict[str, Any] = {
    "service_tier": {"type": "string", "enum": ["auto", "default", "flex", "priority"]},
    "priority": {"type": "string", "enum": ["realtime", "high", "normal", "low"]},
}


def door() -> dict[str, Any]:
    return {
        "/v1/chat/completions": {"post": _chat()},
        "/v1/completions": {"post": _completion()},
        "/v1/embeddings": {"post": _embeddings()},
        "/v1/models": {"get": _models()},
        "/v1/models/{model}": {"get": _model()},
        "/api/v1/messages/{message_id}/events": {"get": _events()},
        "/health": {"get": _health("Whether the process is alive")},
        "/health/ready": {"get": _health("Whether it can serve: components with response times")},
    }


def _operation(tag: str, name: str, text: str, responses: dict[str, Any]) -> dict[str, Any]:
    return {
        "operationId": name,
        "tags": [tag],
        "description": text,
        "security": [{SCHEME: []}],
        "responses": responses,
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
    operation = _operation(
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
            **_openai_errors(),
        },
    )
    operation["requestBody"] = {
        "required": True,
        "content": {"application/json": {"schema": request}},
    }
    operation["parameters"] = [
        _header("X-Priority", ["realtime", "high", "normal", "low"]),
        _header("Idempotency-Key"),
        _header("X-Request-ID"),
    ]
    return operation


def _embeddings() -> dict[str, Any]:
    operation = _operation(
        "openai",
        "create_embeddings",
        "OpenAI's embeddings, through the queue. Unknown fields pass to the endpoint.",
        {
            "200": {
                "description": "A list of vectors",
                "content": {"application/json": {"schema": {"type": "object"}}},
            },
            **_openai_errors(),
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
    operation["requestBody"] = {
        "required": True,
        "content": {"application/json": {"schema": schema}},
    }
    operation["parameters"] = [
        _header("X-Priority", ["realtime", "high", "normal", "low"]),
        _header("X-Request-ID"),
    ]
    return operation


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
    responses = {"200": answer, **_openai_errors("401")}
    return _operation("openai", "list_models", "The models that can be named.", responses)


def _model() -> dict[str, Any]:
    answer = {
        "description": "The model",
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
    responses = {"200": answer, **_openai_errors("401", "404")}
    operation = _operation("openai", "get_model", "One model that can be named.", responses)
    name = {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}
    return operation | {"parameters": [name]}


def _events() -> dict[str, Any]:
    operation = _operation(
        "messages",
        "stream_message_events",
        "Server-sent events of one message: `queued` (position, eta), `started`, `delta`, "
        "`reset`, `completed`, `error`. `Last-Event-ID` resumes.",
        {
            "200": {
                "description": "The events, live",
                "content": {"text/event-stream": {"schema": {"type": "string"}}},
            },
            "401": {"description": "1011: no valid API key"},
            "404": {"description": "1004: no such message"},
        },
    )
    identifier = {"name": "message_id", "in": "path", "required": True}
    operation["parameters"] = [
        identifier | {"schema": {"type": "string"}},
        _header("Last-Event-ID"),
    ]
    return operation


def _health(text: str) -> dict[str, Any]:
    responses = {"200": {"description": "It is"}, "503": {"description": "It is not"}}
    return _operation("health", "_".join(text.split()[:4]).lower(), text, responses) | {
        "security": []
    }


def _header(name: str, enum: list[str] | None = None) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"} | ({"enum": enum} if enum else {})
    return {"name": name, "in": "header", "required": False, "schema": schema}


def _openai_errors(*only: str) -> dict[str, Any]:
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
        "408": "its time passed while it waited",
        "429": "the queue is full; see Retry-After",
        "503": "try again after Retry-After",
    }
    return {
        status: {"description": meaning, "content": {"application/json": {"schema": error}}}
        for status, meaning in meanings.items()
        if not only or status in only
    }
