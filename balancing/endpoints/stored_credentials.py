"""How is the credential in an endpoint's row written, described and encrypted again?"""

from __future__ import annotations

from cryptography.fernet import InvalidToken
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from balancing.endpoints.credentials import Unreadable, configured_fernet, encrypt
from balancing.models import Endpoint
from balancing.validators import origin


def set_credential(endpoint: Endpoint, secret: str | None) -> None:
    """Put a credential into a row that will be saved; None or "" removes the stored one.

    Raises:
        ValidationError: by field `credential`.
    """
    try:
        endpoint.encrypted_credential = encrypt(secret) if secret else ""
    except ValidationError as error:
        raise ValidationError({"credential": error.messages}) from None
    # Four characters of a short credential would reveal too much of it.
    endpoint.credential_ending = secret[-4:] if secret and len(secret) >= 16 else ""
    endpoint.credential_set_at = timezone.now() if secret else None


def describe(endpoint: Endpoint) -> str:
    """What operators may read about a stored credential."""
    if not endpoint.encrypted_credential:
        return "not set"
    when = f"{endpoint.credential_set_at:%Y-%m-%d}" if endpoint.credential_set_at else "before"
    ending = f", ends in …{endpoint.credential_ending}" if endpoint.credential_ending else ""
    return f"set on {when}{ending}"


def changes_recipient(before: Endpoint, after: Endpoint) -> bool:
    """Whether a change could give the endpoint's credential to somebody else.

    True if scheme, host, port or proxy change, or whom the call trusts for TLS.
    """
    return (
        origin(before.base_url) != origin(after.base_url)
        or before.proxy_url != after.proxy_url
        or before.ca_bundle != after.ca_bundle
        or before.verify_tls != after.verify_tls
    )


@transaction.atomic
def rotate() -> int:
    """Encrypt every stored credential again with the first key; returns how many there are.

    Raises:
        Unreadable, ImproperlyConfigured: one cannot be decrypted; nothing was changed.
    """
    fernet = configured_fernet()
    # Locked, so that no credential is overwritten that an operator replaces meanwhile.
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
