"""How does a provider's refusal read as OpenAI's error object? It takes every form that is known.

    {"error": {"message": …}}   {"error": "…"}   {"message": …}   {"detail": "…" or FastAPI's list}
    {"errors": […]}   {"errors": {"field": ["…"]}}   {"field": ["…"]}
    {"base_resp": {"status_msg": …}}   a text, a list, null, a page of HTML or XML

The text never names a host, an address inside a network, or a credential.
"""

from __future__ import annotations

import html
import re
from collections.abc import Collection
from typing import Any

import orjson

LONGEST_TEXT = 2000
SHORTEST_SECRET = 8
_DEEPEST = 6
_TEXTS = (
    "message", "msg", "detail", "details", "error", "errors", "error_description", "error_message",
    "errorMessage", "Message", "status_msg", "base_resp", "description", "reason", "title", "raw",
)  # fmt: skip
# Google's and OpenRouter's own; what they say of the request is in the text.
_FOREIGN = ("status", "details", "metadata")
_NAME = re.compile(r"[A-Za-z][\w.\-]{0,99}", re.ASCII)
_PRIVATE = re.compile(
    r"(?:\w{2,10}://)?(?:[\w.\-]{1,64}@)?"
    r"(?:\b(?:10|127)(?:\.\d{1,3}){3}|\b192\.168(?:\.\d{1,3}){2}|\b169\.254(?:\.\d{1,3}){2}"
    r"|\b172\.(?:1[6-9]|2\d|3[01])(?:\.\d{1,3}){2}|\b0\.0\.0\.0|\blocalhost\b|\[[0-9a-fA-F:]{2,39}\]"
    r"|\b[\w\-]{1,63}(?:\.[\w\-]{1,63}){0,6}\.(?:internal|local|localdomain|lan|svc|intranet|corp)\b)"
    r"(?::\d{1,5})?(?:/[^\s\"'<>\\)]*)?",
    re.ASCII,
)
# Cut at the longest text that is told; never within an escape.
_TORN = re.compile(r'"(?:message|msg|detail|error)"\s{0,9}:\s{0,9}"((?:[^"\\]|\\.){1,2000})')
# A URL whose host is one word, such as a container's name.
_LABEL = re.compile(
    r"\b\w{2,10}://(?:[\w\-]{1,64}@)?[\w\-]{1,63}(?![\w.\-])(?::\d{1,5})?(?:/[^\s\"'<>\\)]*)?",
    re.ASCII,
)
_KEYS = re.compile(
    r"\b(?:sk|gsk|xai|pplx|hf|r8|nvapi|AIza)[-_]?[A-Za-z0-9_\-*]{12,}|\bBearer [\w.\-+/=]{8,}", re.A
)


def text_of(found: Any, depth: int = 0) -> str:
    """The text of an error object of any form; empty without one."""
    if isinstance(found, str):
        return found.strip()[:LONGEST_TEXT]
    if depth > _DEEPEST:
        return ""
    if isinstance(found, list):
        texts = [text for each in found[:5] if (text := text_of(each, depth + 1))]
        return "; ".join(texts)[:LONGEST_TEXT]
    if not isinstance(found, dict):
        return ""
    if isinstance(found.get("loc"), list) and isinstance(found.get("msg"), str):
        return f"{'.'.join(map(str, found['loc']))}: {found['msg']}"[:LONGEST_TEXT]
    if isinstance(found.get("error"), (dict, list)) and (own := text_of(found["error"], depth + 1)):
        return _with_raw(own, found["error"])
    texts_of = (text_of(found[name], depth + 1) for name in _TEXTS if name in found)
    text = next((text for text in texts_of if text), "")
    return _with_surplus(text, found) if text else _by_field(found, depth)


def _by_field(found: dict[str, Any], depth: int) -> str:
    """What validators of forms write (ASP.NET, marshmallow, Django): texts by their fields."""
    texts = [
        f"{name}: {text}"
        for name, value in list(found.items())[:5]
        if isinstance(value, (list, dict)) and (text := text_of(value, depth + 1))
    ]
    return "; ".join(texts)[:LONGEST_TEXT]


def _with_surplus(text: str, found: dict[str, Any]) -> str:
    """Ajv says "must NOT have additional properties", and names them in `params` beside it."""
    details = found.get("details", found.get("errors"))
    each = [found, *(details if isinstance(details, list) else ())][:6]
    params = [one.get("params") for one in each if isinstance(one, dict)]
    named = [one.get("additionalProperty") for one in params if isinstance(one, dict)]
    names = [repr(name) for name in named if isinstance(name, str) and repr(name) not in text]
    return f"{text}: {', '.join(names)}"[:LONGEST_TEXT] if names else text


def _with_raw(text: str, error: Any) -> str:
    """OpenRouter says only "Provider returned error", and quotes the provider in `metadata`."""
    metadata = error.get("metadata") if isinstance(error, dict) else None
    raw = metadata.get("raw") if isinstance(metadata, dict) else None
    if not isinstance(raw, str) or not raw.strip():
        return text
    try:
        quoted = text_of(orjson.loads(raw))
    except orjson.JSONDecodeError:
        quoted = raw.strip()
    return f"{text}: {quoted}"[:LONGEST_TEXT] if quoted else text


def text_of_page(text: str) -> str:
    """The text of a body that is not JSON; of HTML the title, of XML the message."""
    text = text.replace("\0", "\ufffd").strip()
    if not text.startswith("<"):
        return text[:LONGEST_TEXT] if text[:1] not in "{[" else ""
    title = re.search(r"<(?:title|message)[^>]{0,200}>([^<]{1,300})", text[:20_000], re.IGNORECASE)
    return html.unescape(title.group(1)).strip() if title else ""


def text_of_torn(text: str) -> str:
    """The text of a JSON body that is not whole: the first one under a name of texts."""
    found = _TORN.search(text)
    return _escapes(found.group(1))[:LONGEST_TEXT] if found else ""


def _escapes(text: str) -> str:
    try:
        return str(orjson.loads(f'"{text}"'))
    except orjson.JSONDecodeError:
        return text


def error_object(found: Any, message: str, *, status: int) -> dict[str, Any]:
    """OpenAI's error object with what the provider's one has; always whole and of valid types."""
    theirs = found.get("error") if isinstance(found, dict) else None
    error = dict(theirs) if isinstance(theirs, dict) else _flat(found)
    for name in _FOREIGN:
        error.pop(name, None)
    default = "invalid_request_error" if status < 500 else "server_error"
    kind = error.get("type")
    error["message"] = message
    error["type"] = kind if isinstance(kind, str) and _NAME.fullmatch(kind) else default
    error["param"] = _text_or_none(error.get("param"))
    error["code"] = _text_or_none(error.get("code"))
    return {"error": error}


def _flat(found: Any) -> dict[str, Any]:
    """vLLM's `{"object": "error", …}` and Mistral's have their fields on top."""
    if not isinstance(found, dict):
        return {}
    return {name: found[name] for name in ("type", "param", "code") if name in found}


def _text_or_none(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return None
    return str(value)[:200] or None


def without_secrets(text: str, secrets: Collection[str]) -> str:
    """Text, or JSON text, in which stars replace credentials."""
    for secret in secrets:
        if len(secret) >= SHORTEST_SECRET:
            text = text.replace(orjson.dumps(secret).decode()[1:-1], "***").replace(secret, "***")
    return _KEYS.sub("***", text)


def cleaned(text: str, secrets: Collection[str], host: str = "") -> str:
    """Text without credentials, the endpoint's host and addresses inside a network.

    Args:
        secrets: credentials; one of a few letters is none.
        host: of the endpoint, without a port.
    """
    text = _PRIVATE.sub("***", _LABEL.sub("***", without_secrets(text, secrets)))
    if "." in host:
        text = re.sub(
            rf"(?:\w{{2,10}}://)?{re.escape(host)}(?::\d+)?(?:/[^\s\"'<>\\)]*)?", "***", text
        )
    return text
