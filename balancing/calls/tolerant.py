"""Reads and writes JSON as endpoints really send it.

Both try orjson first. The slow ways take what orjson refuses: bytes that are not UTF-8, halves of
surrogate pairs, unescaped control characters, `NaN` and `Infinity`, integers above 64 bits.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

BOM = b"\xef\xbb\xbf"
_LONGEST_INTEGER = 400
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
# A high half with its low half, or a half that stands alone.
_HALVES = re.compile("[\ud800-\udbff][\udc00-\udfff]|[\ud800-\udfff]")
# `NaN` and `Infinity` have no counterpart in JSON: they become null, as orjson writes them.
_DECODER = json.JSONDecoder(
    strict=False,
    parse_constant=lambda _: None,
    # Python refuses to read integers of thousands of digits.
    parse_int=lambda digits: int(digits) if len(digits) < _LONGEST_INTEGER else float(digits),
)


def read(data: bytes | bytearray) -> Any:
    """The value of a JSON text; its strings may hold halves of surrogate pairs.

    Raises:
        ValueError: it is not JSON.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        pass
    encoding = "utf-16" if data.startswith(_UTF_16) else "utf-8"
    try:
        text = data.removeprefix(BOM).decode(encoding, "replace")
        return _DECODER.decode(text.strip().strip("\0 \t\r\n"))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def write(value: Any) -> str:
    """JSON text; a half of a surrogate pair is replaced by U+FFFD.

    Raises:
        TypeError: it is nested too deeply.
    """
    try:
        return orjson.dumps(value).decode()
    except TypeError as error:
        if "ecursion" in str(error):
            raise
    return json.dumps(whole(value), ensure_ascii=False, separators=(",", ":"))


def whole(value: Any) -> Any:
    """The value with the halves of surrogate pairs in its strings joined, or else replaced."""
    if isinstance(value, str):
        return value if value.isascii() else _HALVES.sub(_joined, value)
    if isinstance(value, dict):
        return {whole(name): whole(each) for name, each in value.items()}
    if isinstance(value, list):
        return [whole(each) for each in value]
    return value


def _joined(found: re.Match[str]) -> str:
    halves = found.group()
    if len(halves) == 1:
        return "\ufffd"
    return halves.encode("utf-16", "surrogatepass").decode("utf-16")
