"""Requests for Anthropic's Messages API. For its answers see anthropic_answers.py.

Source: platform.claude.com/docs/en/api/messages. Fields without a counterpart are treated as in
Anthropic's own OpenAI layer: penalties, seed and logit_bias are left out, temperature is capped at
1. Fields that would change the meaning of an answer (n, logprobs, json_object) are refused. What
else is mended is listed in docs/providers.md.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import orjson

from balancing.endpoints.target import Target
from balancing.kinds import anthropic_thinking, prompt, shape, tool_ids
from balancing.kinds.anthropic_answers import AnthropicStream, chunks_of
from balancing.kinds.call import Call
from balancing.kinds.contract import Outgoing
from balancing.kinds.history import (
    ASSISTANT,
    NO_RESULT,
    Thought,
    ToolCall,
    ToolResult,
    Turn,
    system_of,
    turns_of,
)
from balancing.kinds.prompt import Media, Text
from balancing.kinds.shape import Json
from llmqueue_project.config import configuration

NAME = "Anthropic"
VERSION = "2023-06-01"
# Fields of Anthropic that clients may send beside OpenAI's.
_NATIVE = ("output_config", "context_management", "container", "mcp_servers")
DOCUMENT = "application/pdf"
MEDIA_TYPES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp", DOCUMENT})
# A request with more marks for the prompt cache is refused.
MOST_CACHE_MARKS = 4
LONGEST_USER = 256
LONGEST_TOOL_NAME = 128
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_-]")
# Anthropic refuses a user id that tells who it is: an e-mail address or a telephone number.
_PERSONAL = re.compile(r".*@.*|\+?[\d\s().-]{7,}", re.DOTALL)


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
    turns = turns_of(body["messages"], NAME, blank=False)
    tools = _tools(body, turns)
    forces_tool = tools.get("tool_choice", {}).get("type") in ("any", "tool")
    thinking = anthropic_thinking.thinking(body, turns, forces_tool=forces_tool)
    thinks = thinking is not None and thinking.get("type") != "disabled"
    asked: Json = {
        "model": body["model"],
        "max_tokens": _limit(body, thinking),
        "messages": _messages(turns),
    }
    if system := [_block(part) for part in system_of(body["messages"], blank=False)]:
        asked["system"] = system
    asked |= {name: body[name] for name in _NATIVE if name in body}
    if thinking is not None:
        asked["thinking"] = thinking
    asked |= anthropic_thinking.sampling(body, thinks=thinks)
    # A stop sequence of nothing but white space is refused.
    if stops := [text for text in shape.stops(body) if text.strip()]:
        asked["stop_sequences"] = stops
    if user := _user(body):
        asked["metadata"] = {"user_id": user}
    if stream:
        asked["stream"] = True
    _limit_cache_marks(asked)
    return asked | tools | _format(body, asked)


def _limit(body: Json, thinking: Json | None) -> int:
    """The limit of the answer; one that the client did not set leaves room for the thoughts."""
    if limit := shape.limit(body):
        return limit
    usual = configuration().balancing.default_max_tokens
    return usual + int((thinking or {}).get("budget_tokens") or 0)


def _user(body: Json) -> str:
    """The client's name of its user; empty for a name that Anthropic would refuse."""
    user: Any = body.get("safety_identifier") or body.get("user")
    if not isinstance(user, str) or len(user) > LONGEST_USER or _PERSONAL.fullmatch(user):
        return ""
    return user


def _limit_cache_marks(asked: Json) -> None:
    """Keep the last marks: the longest beginnings of the prompt."""
    said = [block for turn in asked["messages"] for block in turn["content"]]
    marked = [block for block in [*asked.get("system", ()), *said] if "cache_control" in block]
    for block in marked[:-MOST_CACHE_MARKS]:
        del block["cache_control"]


def _messages(turns: Sequence[Turn]) -> list[Json]:
    given = [call.id for turn in turns for call in turn.calls]
    ids = tool_ids.fitted(given)
    messages: list[Json] = [
        {
            "role": turn.role,
            "content": [_result(result, ids) for result in turn.results]
            + [_item(item, ids) for item in turn.items],
        }
        for turn in turns
    ]
    if turns[-1].role == ASSISTANT:
        # The beginning of the answer; white space at its end is refused.
        last = messages[-1]["content"][-1]
        if "text" in last:
            last["text"] = last["text"].rstrip()
    return messages


def _item(item: Text | Media | ToolCall | Thought, ids: Sequence[str]) -> Json:
    match item:
        case Thought():
            return item.block
        case ToolCall():
            use = {"type": "tool_use", "id": ids[item.place], "name": _tool_name(item.name)}
            return {**use, "input": item.arguments}
        case _:
            return _block(item)


def _result(result: ToolResult, ids: Sequence[str]) -> Json:
    told: Json = {"type": "tool_result", "tool_use_id": ids[result.call.place]}
    if result.is_missing:
        return {**told, "content": NO_RESULT, "is_error": True}
    return {**told, "content": [_block(part) for part in result.parts]}


def _block(part: Text | Media) -> Json:
    if isinstance(part, Text):
        block: Json = {"type": "text", "text": part.text}
        return {**block, "cache_control": part.cache} if part.cache else block
    if part.url:
        kind = "document" if part.type == DOCUMENT else "image"
        return {"type": kind, "source": {"type": "url", "url": part.url}}
    prompt.require_type(part, MEDIA_TYPES, NAME)
    source = {"type": "base64", "media_type": part.type, "data": part.data}
    return {"type": "document" if part.type == DOCUMENT else "image", "source": source}


def _tools(body: Json, turns: Sequence[Turn]) -> Json:
    tools = [_tool(function) for function in prompt.functions(body)]
    if not tools:
        return _tools_of_history(turns)
    choice = _tool_choice(body)
    if body.get("parallel_tool_calls") is False and (choice or {}).get("type") != "none":
        choice = {**(choice or {"type": "auto"}), "disable_parallel_tool_use": True}
    return {"tools": tools} | ({"tool_choice": choice} if choice else {})


def _tools_of_history(turns: Sequence[Turn]) -> Json:
    """A history with calls is refused without tools: they are named, and may not be called."""
    names = dict.fromkeys(_tool_name(call.name) for turn in turns for call in turn.calls)
    if not names:
        return {}
    return {"tools": [_tool({"name": name}) for name in names], "tool_choice": {"type": "none"}}


def _tool_name(name: str) -> str:
    """The name of a call in the history as Anthropic takes it; other models' have dots."""
    return _NOT_IN_NAMES.sub("_", name)[:LONGEST_TOOL_NAME] or "tool"


def _tool(function: Json) -> Json:
    schema = function.get("parameters") or {"properties": {}}
    tool = {"name": function["name"], "input_schema": {"type": "object", **schema}}
    if function.get("description"):
        tool["description"] = function["description"]
    if function.get("strict"):
        tool["strict"] = True
    return tool


def _tool_choice(body: Json) -> Json | None:
    match prompt.tool_choice(body, NAME):
        case None:
            return None
        case ("tool", name):
            return {"type": "tool", "name": name}
        case ("required", _):
            return {"type": "any"}
        case (mode, _):
            return {"type": mode}


def _format(body: Json, asked: Json) -> Json:
    schema = shape.schema_of(body, NAME)
    if schema is None:
        if (body.get("response_format") or {}).get("type") == "json_object":
            raise shape.unsupported(
                f"{NAME} promises JSON by a schema only: use json_schema", "response_format"
            )
        return {}
    wanted = {"type": "json_schema", "schema": shape.closed(schema)}
    return {"output_config": {**(asked.get("output_config") or {}), "format": wanted}}
