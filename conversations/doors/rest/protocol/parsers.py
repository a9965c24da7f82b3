"""What is a request body? One JSON object of bounded size, without NUL characters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

import orjson
from rest_framework.parsers import BaseParser

from conversations.doors.rest.protocol.refusals import Code, RestError
from llmqueue_project.config import configuration

NUL = "\x00"


class EnvelopeJSONParser(BaseParser):
    """Reads JSON, and refuses with the business codes of `/api/v1`.

    orjson refuses what PostgreSQL could not store: NaN, lone surrogates, broken UTF-8.
    """

    media_type = "application/json"

    def parse(
        self,
        stream: IO[Any],
        _media_type: str | None = None,
        _parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        limit = configuration().web.max_body_bytes
        raw = stream.read(limit + 1)
        if len(raw) > limit:
            raise RestError(Code.BODY_TOO_LARGE, f"the body has more than {limit} bytes")
        return parse_object(raw)


def parse_object(raw: bytes) -> dict[str, Any]:
    """The JSON object in `raw`.

    Raises:
        RestError: it is empty, not JSON, not an object, or has a NUL character somewhere.
    """
    if not raw.strip():
        raise RestError(Code.MALFORMED_BODY, "the body is empty: send a JSON object")
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise RestError(Code.MALFORMED_BODY, f"the body is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise RestError(Code.MALFORMED_BODY, "the body must be a JSON object")
    # Only an escape can stand for a NUL. Most bodies have none, and are not searched.
    if b"\\u0000" in raw and contains_nul(value):
        raise RestError(Code.MALFORMED_BODY, "NUL characters (\\u0000) are not accepted")
    return value


def contains_nul(value: Any) -> bool:
    """Whether a string anywhere in a JSON value has a NUL, which PostgreSQL cannot store."""
    pending = [value]
    while pending:
        part = pending.pop()
        if isinstance(part, str):
            if NUL in part:
                return True
        elif isinstance(part, dict):
            pending.extend(part)
            pending.extend(part.values())
        elif isinstance(part, list):
            pending.extend(part)
    return False
