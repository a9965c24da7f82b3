"""Which codes does a provider's error object hold, and which status do they amount to?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_INSIDE = (0, 200)


def status_of(status: int, found: Any) -> int:
    """The status that counts: a code of 400 to 599 in the body, where the HTTP status hides it."""
    if 0 < status < 500 and status != 200:
        return status
    if _is_bare(found):
        return status
    inner = next((n for n in map(_status, _values(found, _STATUS_FIELDS)) if n), 0)
    if not inner and status in _INSIDE:
        return next((_TYPES[code] for code in sorted(codes_of(found)) if code in _TYPES), 0)
    return inner or status


def codes_of(found: Any) -> frozenset[str]:
    """The provider's codes in an error object of any form, in lower case."""
    codes = {str(v).strip().lower() for v in _values(found, _CODE_FIELDS) if _is_code(v)}
    base = found.get("base_resp") if isinstance(found, dict) else None
    if isinstance(base, dict) and _is_code(base.get("status_code")):
        codes.add(f"base_resp:{base['status_code']}")
    if isinstance(found, dict) and _is_validation(found.get("detail")):
        codes.add("validation_error")
    return frozenset(codes)


# The HTTP statuses that these types of Anthropic have outside a stream.
_TYPES = {"rate_limit_error": 429, "overloaded_error": 529, "timeout_error": 504}
_STATUS_FIELDS = frozenset({"code", "status", "status_code", "http_status", "statusCode"})
_CODE_FIELDS = frozenset({
    "code", "type", "status", "reason", "quotaId", "error_type", "__type", "error_code",
    "errorCode", "sub_code",
})  # fmt: skip
_NESTED = ("error", "errors", "details", "violations", "innererror", "metadata", "detail")
_DEEPEST = 5


def _values(found: Any, fields: frozenset[str], depth: int = 0) -> Iterator[Any]:
    """The values of these fields, in the error object and in what is nested in it."""
    if depth > _DEEPEST:
        return
    if isinstance(found, list):
        for each in found[:10]:
            yield from _values(each, fields, depth + 1)
    elif isinstance(found, dict):
        yield from (found[field] for field in fields if field in found)
        for name in _NESTED:
            yield from _values(found.get(name), fields, depth + 1)


def _is_code(value: Any) -> bool:
    is_number = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**9
    return is_number or (isinstance(value, str) and 0 < len(value) <= 100)


def _status(value: Any) -> int:
    text = str(value) if isinstance(value, (int, str)) and not isinstance(value, bool) else ""
    return int(text) if re.fullmatch(r"[45]\d\d", text, re.ASCII) else 0


def _is_bare(found: Any) -> bool:
    """`{"object": "error", "message": ..., "code": 400}` without a type.

    Gateways write it for whatever went wrong behind them, so its number says nothing.
    """
    is_foreign = isinstance(found, dict) and found.get("object") == "error"
    return is_foreign and all(code.isdigit() for code in codes_of(found))


def _is_validation(detail: Any) -> bool:
    """FastAPI's list of what is wrong with a body."""
    return isinstance(detail, list) and any(isinstance(d, dict) and "loc" in d for d in detail)
