"""Endpoints' credentials: from the environment, or encrypted in the database.

A stored credential is a Fernet token (AES-128-CBC with HMAC-SHA256). The keys are a setting and
never in the database: a dump of one is worth nothing without the other. Several keys allow
rotation: the first encrypts, all decrypt.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from functools import lru_cache

import structlog
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import transaction
from django.utils import timezone

from balancing.models import CREDENTIAL_VARIABLE, Endpoint
from balancing.validators import origin
from llmqueue_project.config import configuration

log = structlog.get_logger(__name__)
NO_KEY = (
    "No key to encrypt it with: set LLMQUEUE_CREDENTIAL_KEYS (manage.py credentials new-key makes "
    "one), or name an environment variable instead"
)


class Unreadable(Exception):
    """A stored credential that no configured key decrypts."""


@lru_cache(maxsize=4)
def _keys(configured: str) -> MultiFernet | None:
    keys = [key.strip() for key in configured.split(",") if key.strip()]
    try:
        return MultiFernet([Fernet(key) for key in keys]) if keys else None
    except ValueError:
        raise ImproperlyConfigured(
            "LLMQUEUE_CREDENTIAL_KEYS: each key is 32 bytes in URL-safe base64"
        ) from None


def _configured_keys() -> str:
    configured = configuration().credential_keys
    return configured.get_secret_value() if configured else ""


def _fernet() -> MultiFernet | None:
    return _keys(_configured_keys())


def encrypt(secret: str) -> str:
    """
    Raises:
        ValidationError: there is no key, or the text cannot stand in a header.
    """
    if not secret.isascii() or not secret.isprintable() or not 1 <= len(secret) <= 4096:
        raise ValidationError("A credential is 1 to 4096 printable ASCII characters")
    fernet = _fernet()
    if fernet is None:
        raise ValidationError(NO_KEY)
    return fernet.encrypt(secret.encode()).decode()


def decrypt(token: str) -> str:
    """The credential in a token.

    Raises:
        Unreadable: no configured key fits.
    """
    return _decrypted(token, _configured_keys())


# Every call of an endpoint asks for its credential.
@lru_cache(maxsize=1024)
def _decrypted(token: str, keys: str) -> str:
    fernet = _keys(keys)
    try:
        if fernet is not None:
            return fernet.decrypt(token.encode()).decode()
    except InvalidToken:
        pass
    raise Unreadable("no key in LLMQUEUE_CREDENTIAL_KEYS decrypts it")


def resolve(encrypted: str, variable: str) -> str:
    """What to present to an endpoint; empty when nothing.

    Raises:
        Unreadable: it is stored, and no configured key fits.
    """
    if encrypted:
        return decrypt(encrypted)
    if re.match(CREDENTIAL_VARIABLE, variable):
        return os.environ.get(variable, "")
    return ""


def set_credential(endpoint: Endpoint, secret: str | None) -> None:
    """Put a credential into a row that is about to be saved; None or empty takes it out.

    Raises:
        ValidationError: by field `credential`.
    """
    try:
        endpoint.encrypted_credential = encrypt(secret) if secret else ""
    except ValidationError as error:
        raise ValidationError({"credential": error.messages}) from None
    # Of a short one, four characters would be too much to tell.
    endpoint.credential_ending = secret[-4:] if secret and len(secret) >= 16 else ""
    endpoint.credential_set_at = timezone.now() if secret else None


def describe(endpoint: Endpoint) -> str:
    """What may be told of a stored credential."""
    if not endpoint.encrypted_credential:
        return "not set"
    when = f"{endpoint.credential_set_at:%Y-%m-%d}" if endpoint.credential_set_at else "before"
    ending = f", ends in …{endpoint.credential_ending}" if endpoint.credential_ending else ""
    return f"set on {when}{ending}"


def changes_recipient(before: Endpoint, after: Endpoint) -> bool:
    """Whether a change lets somebody else read the credential that an endpoint is sent.

    Another scheme, host, port or proxy, or another idea of whom to trust for TLS.
    """
    return (
        origin(before.base_url) != origin(after.base_url)
        or before.proxy_url != after.proxy_url
        or before.ca_bundle != after.ca_bundle
        or before.verify_tls != after.verify_tls
    )


def check_readable(tokens: Iterable[str]) -> None:
    """At start: production does not run with credentials it cannot read.

    Raises:
        ImproperlyConfigured: it would.
    """
    unreadable = 0
    for token in tokens:
        try:
            if token:
                decrypt(token)
        except Unreadable:
            unreadable += 1
    if not unreadable:
        return
    message = f"LLMQUEUE_CREDENTIAL_KEYS does not decrypt {unreadable} endpoint credential(s)"
    if configuration().production:
        raise ImproperlyConfigured(message)
    log.error("credentials.unreadable", endpoints=unreadable)


@transaction.atomic
def rotate() -> int:
    """Encrypt every stored credential anew with the first key; how many there were.

    Raises:
        Unreadable, ImproperlyConfigured: nothing was changed.
    """
    fernet = _fernet()
    # Locked: one that an operator replaces meanwhile must not come back.
    rows = list(Endpoint.objects.select_for_update().exclude(encrypted_credential=""))
    if rows and fernet is None:
        raise Unreadable("LLMQUEUE_CREDENTIAL_KEYS is empty")
    for row in rows:
        assert fernet is not None  # noqa: S101 - checked above
        try:
            row.encrypted_credential = fernet.rotate(row.encrypted_credential).decode()
        except InvalidToken:
            raise Unreadable(f"no key decrypts the credential of {row.name}") from None
    Endpoint.objects.bulk_update(rows, ["encrypted_credential"])
    return len(rows)
