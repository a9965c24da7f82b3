"""What does an OpenAI request ask for? Only fields that llmqueue uses are checked; others pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from conversations.doors.lean.refusals import invalid
from scheduling.models import Api

PATHS: Mapping[str, str] = {
    Api.CHAT: "/v1/chat/completions",
    Api.COMPLETION: "/v1/completions",
    Api.EMBEDDING: "/v1/embeddings",
}
# These speak of llmqueue's queue, and are not forwarded.
_OWN_FIELDS = ("priority", "service_tier")


@dataclass(frozen=True, slots=True)
class Completion:
    """A checked request.

    Attributes:
        fields: as the client sent them.
        upstream: the JSON text for the endpoint.
        wants_usage: whether the client asked for usage at the end of its stream.
    """

    api: Api
    model: str
    stream: bool
    wants_usage: bool
    max_tokens: int | None
    fields: dict[str, Any]
    upstream: str

    @property
    def session(self) -> str:
        """The client's name for requests that belong together, in OpenAI's fields; or empty."""
        for name in ("prompt_cache_key", "user"):
            value = self.fields.get(name)
            if isinstance(value, str) and value:
                return value
        return ""


def parse(raw: bytes, api: Api) -> Completion:
    """Check a body.

    Raises:
        Refusal: it is empty, not JSON, not an object, or a field is of the wrong type.
    """
    if not raw.strip():
        raise invalid("the request has no body", code="empty_body")
    try:
        fields = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise invalid(f"the body is not JSON: {error}", code="invalid_json") from None
    if not isinstance(fields, dict):
        raise invalid("the body must be a JSON object", code="invalid_json")
    model = _model(fields)
    stream = _flag(fields, "stream")
    if stream and api == Api.EMBEDDING:
        raise invalid("embeddings are not streamed", param="stream")
    _CHECKS[api](fields)
    options = fields.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise invalid("must be an object", param="stream_options", code="invalid_type")
    upstream = {name: value for name, value in fields.items() if name not in _OWN_FIELDS}
    if stream:
        upstream["stream_options"] = {**(options or {}), "include_usage": True}
    try:
        text = orjson.dumps(upstream).decode()
    except orjson.JSONEncodeError:
        raise invalid("the body is nested too deeply", code="invalid_json") from None
    if "\\u0000" in text and _has_nul(upstream):
        raise invalid("NUL characters are not allowed", code="invalid_character")
    return Completion(
        api=api,
        model=model,
        stream=stream,
        wants_usage=bool((options or {}).get("include_usage")),
        max_tokens=_max_tokens(fields),
        fields=fields,
        upstream=text,
    )


def _model(fields: dict[str, Any]) -> str:
    model = fields.get("model")
    if not isinstance(model, str) or not model:
        raise invalid("you must name a model", param="model", code="missing_model")
    if len(model) > 200:
        raise invalid("the name is too long", param="model")
    return model


def _flag(fields: dict[str, Any], name: str) -> bool:
    value = fields.get(name)
    if value is None or isinstance(value, bool):
        return bool(value)
    raise invalid("must be true or false", param=name, code="invalid_type")


def _max_tokens(fields: dict[str, Any]) -> int | None:
    for name in ("max_completion_tokens", "max_tokens"):
        value = fields.get(name)
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise invalid("must be a positive integer", param=name, code="invalid_type")
        return value
    return None


def _check_messages(fields: dict[str, Any]) -> None:
    messages = fields.get("messages")
    if not isinstance(messages, list) or not messages:
        raise invalid("must be a list of at least one message", param="messages")
    for place, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise invalid("must be an object with a role", param=f"messages[{place}]")
        content = message.get("content")
        if content is not None and not isinstance(content, str | list):
            raise invalid("must be text or a list of parts", param=f"messages[{place}].content")


def _check_prompt(fields: dict[str, Any]) -> None:
    prompt = fields.get("prompt")
    if not isinstance(prompt, str | list) or not prompt:
        raise invalid("must be text or a list", param="prompt")


def _check_input(fields: dict[str, Any]) -> None:
    wanted = "must be text, a list of texts, a list of tokens, or a list of such lists"
    given = fields.get("input")
    if isinstance(given, str) and given:
        return
    if not isinstance(given, list) or not given:
        raise invalid(wanted, param="input")
    if not (
        all(isinstance(item, str) and item for item in given)
        or _is_tokens(given)
        or all(_is_tokens(item) for item in given)
    ):
        raise invalid(wanted, param="input")


def _is_tokens(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(type(item) is int for item in value)


_CHECKS = {
    Api.CHAT: _check_messages,
    Api.COMPLETION: _check_prompt,
    Api.EMBEDDING: _check_input,
}


def _has_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(_has_nul(key) or _has_nul(item) for key, item in value.items())
    return isinstance(value, list) and any(map(_has_nul, value))
