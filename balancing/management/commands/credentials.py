"""`manage.py credentials new-key | check | rotate`: the keys of stored endpoint credentials."""

from __future__ import annotations

from typing import Any

from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

from balancing.endpoints import credentials, stored_credentials
from balancing.models import Endpoint


class Command(BaseCommand):
    help = "Make a key for LLMQUEUE_CREDENTIAL_KEYS, check that it fits, or encrypt anew with it."
    # Keys are made before there is a database.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=("new-key", "check", "rotate"))

    def handle(self, *args: Any, **options: Any) -> None:
        if options["action"] == "new-key":
            self.stdout.write(Fernet.generate_key().decode())
        elif options["action"] == "check":
            self._check()
        else:
            self._rotate()

    def _check(self) -> None:
        """List the endpoints whose credentials the keys of this process do not decrypt."""
        wrong = []
        rows = Endpoint.objects.exclude(encrypted_credential="").order_by("name")
        for row in rows:
            try:
                credentials.decrypt(row.encrypted_credential)
            except credentials.Unreadable:
                wrong.append(row.name)
            except ImproperlyConfigured as error:
                raise CommandError(str(error)) from None
        if wrong:
            raise CommandError(f"unreadable: {', '.join(wrong)}")
        self.stdout.write(f"{len(rows)} stored credentials, all readable")

    def _rotate(self) -> None:
        try:
            count = stored_credentials.rotate()
        except (credentials.Unreadable, ImproperlyConfigured) as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{count} stored credentials encrypted with the first key")
