"""What does an OpenAI request ask for? Fields that llmqueue uses are checked; others pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from conversations.doors.lean import lenient_json
from conversations.doors.lean.refusals import Refusal, invalid
from conversations.doors.openai.mending import MOST_EXACT, flag, mended
from scheduling.models import Api

PATHS: Mapping[str, str] = {
    Api.CHAT: "/v1/chat/completions",
    Api.COMPLETION: "/v1/completions",
    Api.EMBEDDING: "/v1/embeddings",
}
# `priority` and `service_tier` speak of llmqueue's queue: a number would jump the endpoint's own,
# and a tier is billed to the operator. `stream_options` is ours to send.
_OWN_FIELDS = ("priority", "service_tier", "stream_options")


@dataclass(frozen=True, slots=True)
class Completion:
    """A checked request.

    Attributes:
        fields: as the client meant them (`mending.py`).
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
    """Read and check a body.

    Raises:
        Refusal: it is empty, not JSON, not an object, or a field has no meaning that we know.
    """
    fields = mended(_object(raw), api)
    model = _model(fields)
    stream = _flag(fields, "stream")
    if stream and api == Api.EMBEDDING:
        raise invalid("embeddings are not streamed", param="stream")
    _CHECKS[api](fields)
    options = _stream_options(fields)
    left_out = _OWN_FIELDS if api != Api.EMBEDDING else (*_OWN_FIELDS, "stream")
    upstream = {name: value for name, value in fields.items() if name not in left_out}
    if stream:
        upstream["stream_options"] = {**options, "include_usage": True}
    try:
        text = orjson.dumps(upstream).decode()
    except orjson.JSONEncodeError:
        raise invalid("the body is nested too deeply", code="invalid_json") from None
    return Completion(
        api=api,
        model=model,
        stream=stream,
        wants_usage=flag(options.get("include_usage")) is True,
        max_tokens=_max_tokens(fields),
        fields=fields,
        upstream=text,
    )


def _object(raw: bytes) -> dict[str, Any]:
    if not raw.strip():
        raise invalid("the request has no body", code="empty_body")
    try:
        fields = lenient_json.loads(raw)
    except lenient_json.TooManyValues as error:
        raise Refusal(413, "body_too_large", f"the body has too many values: {error}") from None
    except ValueError as error:
        raise invalid(f"the body is not JSON: {error}", code="invalid_json") from None
    if not isinstance(fields, dict):
        raise invalid("the body must be a JSON object", code="invalid_json")
    return fields


def _model(fields: dict[str, Any]) -> str:
    model = fields.get("model")
    if not isinstance(model, str) or not (model := model.strip()):
        raise invalid("you must name a model", param="model", code="missing_model")
    if len(model) > 200:
        raise invalid("the name is too long", param="model")
    fields["model"] = model
    return model


def _flag(fields: dict[str, Any], name: str) -> bool:
    value = fields.get(name)
    if value is None or isinstance(value, bool):
        return bool(value)
    raise invalid("must be true or false", param=name, code="invalid_type")


def _stream_options(fields: dict[str, Any]) -> dict[str, Any]:
    options = fields.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise invalid("must be an object", param="stream_options", code="invalid_type")
    return options or {}


def _max_tokens(fields: dict[str, Any]) -> int | None:
    """The most tokens of an answer; None where the endpoint decides (-1, 0)."""
    given = [_limit(fields, name) for name in ("max_completion_tokens", "max_tokens")]
    return next((limit for limit in given if limit), None)


def _limit(fields: dict[str, Any], name: str) -> int | None:
    value = fields.get(name)
    if value is None or (isinstance(value, float) and abs(value) >= MOST_EXACT):
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise invalid("must be a whole number", param=name, code="invalid_type")
    return value if 0 < value < MOST_EXACT else None


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
    if not isinstance(prompt, str | list) or prompt == []:
        raise invalid("must be text or a list", param="prompt")


def _check_input(fields: dict[str, Any]) -> None:
    wanted = "must be text, a list of texts, a list of tokens, or a list of such lists"
    given = fields.get("input")
    if isinstance(given, str):
        return
    if not isinstance(given, list) or not given:
        raise invalid(wanted, param="input")
    if not (
        # Objects are texts or images of SGLang's, vLLM's and Jina's; the endpoint judges them.
        all(isinstance(item, str) or (item and isinstance(item, dict)) for item in given)
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
