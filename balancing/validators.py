"""What may the fields of an endpoint hold? The messages are for operators."""

from __future__ import annotations

import math
import re
import ssl
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError

from balancing import outbound
from balancing.apis import APIS
from llmqueue_project.config import configuration

# If any variable could be named, an operator could have the database URL sent to a server.
CREDENTIAL_VARIABLE = r"\A(LLM_[A-Z0-9_]+|(?!LLMQUEUE_)[A-Z][A-Z0-9_]*_API_KEY)\Z"
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
# Credentials have fields of their own, and the client library sets the connection's headers.
_RESERVED_HEADERS = frozenset(
    {
        "authorization",
        "proxy-authorization",
        "api-key",
        "x-api-key",
        "x-goog-api-key",
        "cookie",
        "host",
        "content-length",
        "content-type",
        "content-encoding",
        "transfer-encoding",
        "accept-encoding",
        "connection",
        "upgrade",
        "expect",
        "te",
        "trailer",
    }
)
LARGEST_BUNDLE = 256 * 1024
# Bounded, because every process reads all rows every few seconds. Twice as many models as discovery
# takes: an endpoint's own names, and as many aliases.
MOST_MODELS = 2000
MOST_ALIASES = 1000
LARGEST_NUMBER = 1e9


def validate_base_url(value: str) -> None:
    try:
        parts = outbound.parse(value)
    except ValueError as error:
        raise ValidationError(str(error)) from None
    refusal = outbound.refusal_of_host(parts.hostname or "")
    if refusal and not configuration().balancing.allow_link_local:
        raise ValidationError(f"This host may not be called: {refusal}")


def validate_models(value: Any) -> None:
    if not isinstance(value, list) or not value:
        raise ValidationError("List at least one model name")
    if len(value) > MOST_MODELS:
        raise ValidationError(f"List at most {MOST_MODELS} models")
    if not all(isinstance(n, str) and 0 < len(n) <= 200 and n.isprintable() for n in value):
        raise ValidationError("Model names are strings of 1 to 200 printable characters")


def validate_finite(value: float) -> None:
    """Refuse what is no number, and numbers whose sum might be none."""
    if not math.isfinite(value) or abs(value) > LARGEST_NUMBER:
        raise ValidationError("Enter a finite number, at most a billion")


def validate_apis(value: Any) -> None:
    known = ", ".join(APIS)
    if not isinstance(value, list) or not all(isinstance(api, str) for api in value):
        raise ValidationError(f"List APIs: {known}")
    if unknown := sorted(set(value) - APIS.keys()):
        raise ValidationError(f"Unknown: {', '.join(unknown)}. There are {known}")


def validate_extra_headers(value: Any) -> None:
    if not isinstance(value, dict) or len(value) > 20:
        raise ValidationError('Enter an object of at most 20 headers, such as {"X-Team": "red"}')
    for name, content in value.items():
        if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
            raise ValidationError(f"{str(name)[:50]!r} is not the name of a header")
        if name.lower() in _RESERVED_HEADERS:
            raise ValidationError(f"{name} is not set here: credentials have their own fields")
        if not isinstance(content, str) or len(content) > 1000:
            raise ValidationError(f"{name}: enter text of at most 1000 characters")
        if not content.isascii() or not content.isprintable():
            raise ValidationError(f"{name}: enter printable ASCII characters")


def validate_ca_bundle(value: str) -> None:
    if len(value) > LARGEST_BUNDLE:
        raise ValidationError("The bundle is larger than 256 kB")
    if "PRIVATE KEY" in value:
        raise ValidationError("This holds a private key: paste certificates only")
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=value)
    except (ssl.SSLError, ValueError, OSError):
        raise ValidationError("Paste certificates in PEM format") from None
    if not context.cert_store_stats()["x509"]:
        raise ValidationError("Paste certificates in PEM format")


def origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port of a URL: they decide who receives what is sent there."""
    default = {"http": 80, "https": 443}
    try:
        parts = urlsplit(url)
        port = parts.port or default.get(parts.scheme)
    except ValueError:
        # Not stored through this project. It differs from every other origin.
        return "", url, None
    return parts.scheme, (parts.hostname or "").lower(), port
