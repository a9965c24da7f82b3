"""Requests for Anthropic's Messages API. For its answers see anthropic_answers.py.

Source: platform.claude.com/docs/en/api/messages. Fields without a counterpart are treated as in
Anthropic's own OpenAI layer: penalties, seed and logit_bias are left out, temperature is capped at
1. Fields that would change the meaning of an answer (n, logprobs, json_object) are refused.
"""

from __future__ import annotations

from typing import Any

import orjson

from balancing.endpoints.target import Target
from balancing.kinds import prompt, shape
from balancing.kinds.anthropic_answers import AnthropicStream, chunks_of
from balancing.kinds.call import Call
from balancing.kinds.contract import Outgoing
from balancing.kinds.prompt import SYSTEM_ROLES, Media, Text
from balancing.kinds.shape import Json
from llmqueue_project.config import configuration

NAME = "Anthropic"
VERSION = "2023-06-01"
# Fields of Anthropic that clients may send beside OpenAI's.
_NATIVE = ("thinking", "top_k", "output_config", "context_management", "container", "mcp_servers")


class Anthropic:
    passes_through = False

    def request(self, target: Target, call: Call, credential: str) -> Outgoing:
        body = request_body(orjson.loads(call.body), stream=call.stream)
        headers = {"Content-Type": "application/json", **_presenting(target, credential)}
        return Outgoing(f"{target.base_url}/messages", headers, orjson.dumps(body))

    def translator(self) -> AnthropicStream:
        return AnthropicStream()

    def whole(self, answer: Json, call: Call) -> Json:
        return shape.whole(chunks_of(answer))

    def listing(self, target: Target, credential: str) -> Outgoing:
        return Outgoing(f"{target.base_url}/models?limit=1000", _presenting(target, credential))

    def listed(self, answer: Json) -> list[str]:
        return [str(model["id"]) for model in answer["data"]]


def _presenting(target: Target, credential: str) -> dict[str, str]:
    headers = {"anthropic-version": target.access.api_version or VERSION}
    return {**headers, "x-api-key": credential} if credential else headers


def request_body(body: Json, *, stream: bool) -> Json:
    """OpenAI's chat request as a request of the Messages API.

    Raises:
        Refused: it asks for something that Anthropic does not have.
    """
    shape.only_one_choice(body, NAME)
    if body.get("logprobs"):
        raise shape.unsupported(f"{NAME} tells no log probabilities", "logprobs")
    asked: Json = {
        "model": body["model"],
        "max_tokens": shape.limit(body) or configuration().balancing.default_max_tokens,
        "messages": _messages(body["messages"]),
    }
    if system := _system(body["messages"]):
        asked["system"] = system
    asked |= {name: body[name] for name in _NATIVE if name in body}
    if body.get("temperature") is not None:
        asked["temperature"] = min(float(body["temperature"]), 1.0)
    if body.get("top_p") is not None:
        asked["top_p"] = body["top_p"]
    if stops := shape.stops(body):
        asked["stop_sequences"] = stops
    if user := body.get("safety_identifier") or body.get("user"):
        asked["metadata"] = {"user_id": user}
    if stream:
        asked["stream"] = True
    return asked | _tools(body) | _format(body, asked)


def _system(messages: list[Json]) -> list[Json]:
    """All system messages of the request; the Messages API has one field for them."""
    return [
        _block(part)
        for place, message in enumerate(messages)
        if message["role"] in SYSTEM_ROLES
        for part in prompt.parts(message.get("content"), f"messages[{place}].content")
    ]


def _messages(messages: list[Json]) -> list[Json]:
    """The turns. Neighbours of one role are joined: one turn answers all tool calls of another."""
    turns: list[Json] = []
    for place, message in enumerate(messages):
        if message["role"] in SYSTEM_ROLES:
            continue
        role, blocks = _turn(message, f"messages[{place}].content")
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": role, "content": blocks})
    return turns


def _turn(message: Json, param: str) -> tuple[str, list[Json]]:
    content = message.get("content")
    match message["role"]:
        case "user":
            return "user", [_block(part) for part in prompt.parts(content, param)]
        case "assistant":
            said = [_block(part) for part in prompt.parts(content, param)]
            return "assistant", said + [_tool_use(c) for c in message.get("tool_calls") or ()]
        case "tool":
            result = [_block(part) for part in prompt.parts(content, param)]
            return "user", [
                {
                    "type": "tool_result",
                    "tool_use_id": message["tool_call_id"],
                    "content": result,
                }
            ]
    raise shape.unsupported(f"{NAME} knows no role {message['role']!r}", "messages")


def _block(part: Text | Media) -> Json:
    if isinstance(part, Text):
        block: Json = {"type": "text", "text": part.text}
        return {**block, "cache_control": part.cache} if part.cache else block
    kind = "document" if part.type == "application/pdf" else "image"
    if not part.type.startswith(("image/", "application/pdf")):
        raise shape.unsupported(f"{NAME} takes no {part.type}", "messages")
    if part.url:
        return {"type": kind, "source": {"type": "url", "url": part.url}}
    source = {"type": "base64", "media_type": part.type, "data": part.data}
    return {"type": kind, "source": source}


def _tool_use(call: Json) -> Json:
    return {
        "type": "tool_use",
        "id": call["id"],
        "name": call["function"]["name"],
        "input": prompt.arguments_of(call),
    }


def _tools(body: Json) -> Json:
    tools = [_tool(function) for function in prompt.functions(body)]
    if not tools:
        return {}
    choice = _tool_choice(body.get("tool_choice"))
    if body.get("parallel_tool_calls") is False and (choice or {}).get("type") != "none":
        choice = {**(choice or {"type": "auto"}), "disable_parallel_tool_use": True}
    return {"tools": tools} | ({"tool_choice": choice} if choice else {})


def _tool(function: Json) -> Json:
    tool = {
        "name": function["name"],
        "input_schema": function.get("parameters") or {"type": "object", "properties": {}},
    }
    if function.get("description"):
        tool["description"] = function["description"]
    if function.get("strict"):
        tool["strict"] = True
    return tool


def _tool_choice(choice: Any) -> Json | None:
    match choice:
        case None:
            return None
        case "auto" | "none":
            return {"type": choice}
        case "required":
            return {"type": "any"}
        case {"type": "function", "function": {"name": name}}:
            return {"type": "tool", "name": name}
    raise shape.unsupported(f"{NAME} has no such choice of tools", "tool_choice")


def _format(body: Json, asked: Json) -> Json:
    schema = shape.schema_of(body, NAME)
    if schema is None:
        if (body.get("response_format") or {}).get("type") == "json_object":
            raise shape.unsupported(
                f"{NAME} promises JSON by a schema only: use json_schema", "response_format"
            )
        return {}
    wanted = {"type": "json_schema", "schema": schema}
    return {"output_config": {**(asked.get("output_config") or {}), "format": wanted}}
