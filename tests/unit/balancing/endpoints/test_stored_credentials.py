"""Stored credentials: encrypted, write-only, rotated, and never carried to another host."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pydantic import SecretStr

from balancing import services
from balancing.endpoints import credentials, stored_credentials
from balancing.endpoints.registry import target_of
from balancing.models import Endpoint
from llmqueue_project.config import Config, configuration
from tests.unit.balancing.conftest import HOME, NEW, OLD, SECRET


class TestStoring:
    def test_only_a_token_is_kept(self, stored: Endpoint) -> None:
        row = Endpoint.objects.get()

        assert SECRET not in str(Endpoint.objects.values().get())
        assert credentials.decrypt(row.encrypted_credential) == SECRET
        assert stored_credentials.describe(row).endswith("ends in …1234")
        assert row.credential_set_at is not None
        assert target_of(row).access.credential("") == SECRET
        assert SECRET not in repr(target_of(row))
        assert row.encrypted_credential not in repr(target_of(row))

    def test_of_a_short_one_nothing_is_told(self, db: None, keys: Any) -> None:
        row = services.register(name="e", credential="short", **HOME)

        assert row.credential_ending == ""

    def test_it_is_kept_replaced_and_taken_out(self, stored: Endpoint) -> None:
        kept = services.register(name="e", weight=2.0, **HOME)
        assert credentials.decrypt(kept.encrypted_credential) == SECRET

        replaced = services.register(name="e", credential="another", **HOME)
        assert credentials.decrypt(replaced.encrypted_credential) == "another"

        gone = services.register(name="e", credential=None, **HOME)
        assert (gone.encrypted_credential, gone.credential_set_at) == ("", None)

    def test_without_a_key_it_is_refused(self, db: None, keys: Any) -> None:
        keys()

        with pytest.raises(ValidationError, match="LLMQUEUE_CREDENTIAL_KEYS"):
            services.register(name="e", credential=SECRET, **HOME)

    @pytest.mark.parametrize("secret", ["a\nb", "ключ", "x" * 5000])
    def test_what_cannot_stand_in_a_header_is_refused(
        self, db: None, keys: Any, secret: str
    ) -> None:
        with pytest.raises(ValidationError):
            services.register(name="e", credential=secret, **HOME)

    def test_stored_before_environment(
        self, stored: Endpoint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("LLM_KEY", "from the environment")

        access = target_of(stored).access

        assert access.credential("LLM_KEY") == SECRET
        assert credentials.resolve("", "LLM_KEY") == "from the environment"
        assert credentials.resolve("", "DATABASE_URL") == ""


class TestKeys:
    def test_rotation(self, stored: Endpoint, keys: Any) -> None:
        keys(NEW, OLD)
        assert credentials.decrypt(stored.encrypted_credential) == SECRET

        with CaptureQueriesContext(connection) as queries:
            call_command("credentials", "rotate", stdout=StringIO())

        assert any("FOR UPDATE" in query["sql"] for query in queries)
        keys(NEW)
        stored.refresh_from_db()
        assert credentials.decrypt(stored.encrypted_credential) == SECRET

    def test_a_lost_key_changes_nothing(self, stored: Endpoint, keys: Any) -> None:
        keys(NEW)
        before = stored.encrypted_credential

        with pytest.raises(CommandError, match="credential of e"):
            call_command("credentials", "rotate")
        with pytest.raises(CommandError, match="unreadable: e"):
            call_command("credentials", "check")

        stored.refresh_from_db()
        assert stored.encrypted_credential == before

    def test_a_new_key_works(self, keys: Any) -> None:
        out = StringIO()
        call_command("credentials", "new-key", stdout=out)

        keys(out.getvalue().strip())

        assert credentials.decrypt(credentials.encrypt("x")) == "x"

    @pytest.mark.parametrize("configured", [(), (NEW,)])
    def test_production_does_not_start_without_the_key(
        self,
        stored: Endpoint,
        keys: Any,
        monkeypatch: pytest.MonkeyPatch,
        configured: tuple[str, ...],
    ) -> None:
        tokens = [stored.encrypted_credential]
        credentials.check_readable(tokens)
        keys(*configured)
        credentials.check_readable(tokens)

        monkeypatch.setattr(configuration(), "environment", "production")

        with pytest.raises(ImproperlyConfigured, match="LLMQUEUE_CREDENTIAL_KEYS"):
            credentials.check_readable(tokens)
        credentials.check_readable(["", ""])

    @pytest.mark.parametrize("key", ["x", "A" * 44 + "!", "YWJj"])
    def test_what_is_no_key_is_reported_at_start(self, key: str) -> None:
        with pytest.raises(ValueError, match="URL-safe base64"):
            Config(credential_keys=SecretStr(f"{OLD},{key}"))
