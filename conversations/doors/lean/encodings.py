"""How is a body read that a client has compressed? Up to the limit of plain bodies."""

from __future__ import annotations

import zlib

from conversations.doors.lean.refusals import Refusal, invalid

PLAIN = ("", "identity")
# zlib tells gzip from its own format by itself.
_GZIP_OR_ZLIB, _BARE = zlib.MAX_WBITS | 32, -zlib.MAX_WBITS
_TAKEN = ("gzip", "x-gzip", "deflate")
# Of gzip files in a row each begins with a copy of all that follow.
MOST_MEMBERS = 32


def decoded(raw: bytes, encoding: str, limit: int) -> bytes:
    """The bytes that `Content-Encoding` stands for; more than `limit` where there are more.

    Raises:
        Refusal: the encoding is not taken, or the bytes are not of it.
    """
    if encoding not in _TAKEN:
        message = f"the content encoding {encoding[:40]!r} is not taken: send gzip, deflate or none"
        raise Refusal(415, "unsupported_content_encoding", message)
    try:
        return _inflated(raw, _GZIP_OR_ZLIB, limit)
    except zlib.error as error:
        problem = error
    if encoding == "deflate":
        try:
            return _inflated(raw, _BARE, limit)
        except zlib.error as error:
            problem = error
    raise invalid(f"the body is not {encoding}: {problem}", code="invalid_encoding")


def _inflated(raw: bytes, form: int, limit: int) -> bytes:
    """
    Raises:
        zlib.error: it is not of this form, or cut off.
    """
    parts: list[bytes] = []
    left = limit + 1
    for _ in range(MOST_MEMBERS):
        if not raw or left <= 0:
            return b"".join(parts)
        reader = zlib.decompressobj(form)
        parts.append(reader.decompress(raw, left))
        left -= len(parts[-1])
        if left > 0 and not reader.eof:
            raise zlib.error("it ends too early")
        raw = reader.unused_data
    if raw and left > 0:
        raise zlib.error(f"it has more than {MOST_MEMBERS} parts")
    return b"".join(parts)
