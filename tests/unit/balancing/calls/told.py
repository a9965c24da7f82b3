"""What an endpoint told, as the text of its body."""

from __future__ import annotations

from typing import Any

import orjson


def as_text(body: Any) -> str:
    """JSON, but a text as it is and None as nothing."""
    if body is None:
        return ""
    return body if isinstance(body, str) else orjson.dumps(body).decode()
