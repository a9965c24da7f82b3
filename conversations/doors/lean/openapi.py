"""How does the OpenAPI document describe paths of the lean application, such as those of health?"""

from __future__ import annotations

from typing import Any

SCHEME = "apiKey"


def health_paths() -> dict[str, Any]:
    return {
        "/health": {"get": _health("Whether the process is alive")},
        "/health/ready": {"get": _health("Whether it can serve: components with response times")},
    }


def operation(tag: str, name: str, text: str, responses: dict[str, Any]) -> dict[str, Any]:
    return {
        "operationId": name,
        "tags": [tag],
        "description": text,
        "security": [{SCHEME: []}],
        "responses": responses,
    }


def header(name: str, enum: list[str] | None = None) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"} | ({"enum": enum} if enum else {})
    return {"name": name, "in": "header", "required": False, "schema": schema}


def _health(text: str) -> dict[str, Any]:
    responses = {"200": {"description": "It is"}, "503": {"description": "It is not"}}
    return operation("health", "_".join(text.split()[:4]).lower(), text, responses) | {
        "security": []
    }
