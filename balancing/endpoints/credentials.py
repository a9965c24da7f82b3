"""Which credential is sent to an endpoint: one from the environment, or one stored encrypted?

A stored credential is a Fernet token (AES-128-CBC with HMAC-SHA256). The keys are a setting and are
never in the database, so that a dump of the database reveals no credential. Several keys allow
rotation: the first one encrypts, all of them decrypt.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from functools import lru_cache

import structlog
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.core.exceptions import ImproperlyConfigured, ValidationError

from balancing.validators import CREDENTIAL_VARIABLE
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


def configured_fernet() -> MultiFernet | None:
    """Encrypts with the first configured key, decrypts with all of them; None without keys."""
    return _keys(_configured_keys())


def encrypt(secret: str) -> str:
    """The token to store for a credential.

    Raises:
        ValidationError: no key is configured, or the text cannot be sent in a header.
    """
    if not secret.isascii() or not secret.isprintable() or not 1 <= len(secret) <= 4096:
        raise ValidationError("A credential is 1 to 4096 printable ASCII characters")
    fernet = configured_fernet()
    if fernet is None:
        raise ValidationError(NO_KEY)
    return fernet.encrypt(secret.encode()).decode()


def decrypt(token: str) -> str:
    """The credential in a token.

    Raises:
        Unreadable: no configured key decrypts it.
    """
    return _decrypted(token, _configured_keys())


# Cached, because every call to an endpoint needs its credential.
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
    """The credential of an endpoint: the stored one, else the variable's; empty without both.

    Raises:
        Unreadable: no configured key decrypts the stored one.
    """
    if encrypted:
        return decrypt(encrypted)
    if re.match(CREDENTIAL_VARIABLE, variable):
        return os.environ.get(variable, "")
    return ""


def check_readable(tokens: Iterable[str]) -> None:
    """Check at start that stored credentials can be decrypted; outside production, log only.

    Raises:
        ImproperlyConfigured: in production, one cannot be decrypted.
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
