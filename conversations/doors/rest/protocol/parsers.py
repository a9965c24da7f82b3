"""What is a request body? One JSON object of bounded size."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Mapping
from typing import IO, Any

import orjson
from rest_framework.parsers import BaseParser

from conversations.doors import text
from conversations.doors.lean.lenient_json import TooManyValues, check_size
from conversations.doors.rest.protocol.refusals import Code, RestError
from llmqueue_project.config import configuration


class EnvelopeJSONParser(BaseParser):
    """Reads JSON, and refuses with the business codes of `/api/v1`. No body at all is None.

    The readers of fields look for what PostgreSQL cannot store (`conversations/doors/text.py`).
    """

    media_type = "application/json"

    def parse(  # type: ignore[override]  # DRF passes on whatever it is
        self,
        stream: IO[Any],
        _media_type: str | None = None,
        _parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any] | None:
        limit = configuration().web.max_body_bytes
        raw = stream.read(limit + 1)
        if len(raw) > limit:
            raise RestError(Code.BODY_TOO_LARGE, f"the body has more than {limit} bytes")
        return parse_object(raw) if raw.strip() else None


def parse_object(raw: bytes) -> dict[str, Any]:
    """The JSON object in `raw`.

    Raises:
        RestError: it is empty, not JSON, or not an object.
    """
    if not raw.strip():
        raise RestError(Code.MALFORMED_BODY, "the body is empty: send a JSON object")
    try:
        check_size(raw)
        value = text.loads(raw.removeprefix(BOM_UTF8))
    except TooManyValues as error:
        raise RestError(Code.BODY_TOO_LARGE, f"the body has too many values: {error}") from None
    except orjson.JSONDecodeError as error:
        raise RestError(Code.MALFORMED_BODY, f"the body is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise RestError(Code.MALFORMED_BODY, "the body must be a JSON object")
    return value
