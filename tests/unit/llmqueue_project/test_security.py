"""What pages may load, and who may try passwords how often."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client, RequestFactory
from django.urls import reverse

from conversations.models import Operator
from llmqueue_project import security
from llmqueue_project.config import configuration
from llmqueue_project.security import client_address


def behind(monkeypatch: pytest.MonkeyPatch, proxies: int) -> None:
    web = configuration().web.model_copy(update={"trusted_proxies": proxies})
    config = configuration().model_copy(update={"web": web})
    monkeypatch.setattr(security, "configuration", lambda: config)


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (0, "1.1.1.1", "127.0.0.1"),
        (1, "6.6.6.6, 1.1.1.1", "1.1.1.1"),
        (2, "6.6.6.6, 1.1.1.1, 10.0.0.1", "1.1.1.1"),
        (2, "1.1.1.1", "127.0.0.1"),
        (1, "", "127.0.0.1"),
        (1, "nonsense", "127.0.0.1"),
        (1, "2001:db8::1", "2001:db8::"),
        (1, "2001:db8:0:0:ffff::7", "2001:db8::"),
        (1, "2001:db8:0:1::7", "2001:db8:0:1::"),
        (1, "::ffff:1.1.1.1", "1.1.1.1"),
    ],
)
def test_an_address_is_what_the_outermost_proxy_saw(
    monkeypatch: pytest.MonkeyPatch, proxies: int, forwarded: str, address: str
) -> None:
    behind(monkeypatch, proxies)
    request = RequestFactory().get("/", headers={"X-Forwarded-For": forwarded})

    assert client_address(request) == address


def test_without_any_address_all_have_the_same() -> None:
    request = RequestFactory().get("/", REMOTE_ADDR="")

    assert client_address(request) == security.UNKNOWN


@pytest.mark.django_db
class TestPolicy:
    def test_pages_load_nothing_from_elsewhere(self) -> None:
        policy = Client().get(reverse("admin:login"))["Content-Security-Policy"]

        assert "default-src 'self'" in policy
        assert "http" not in policy

    def test_data_is_no_page(self) -> None:
        response = Client().get("/api/v1/config")

        assert response["Content-Security-Policy"].startswith("default-src 'none'")


@pytest.mark.django_db
class TestLogin:
    @pytest.fixture(autouse=True)
    def quick_hashes(self, settings: Any) -> None:
        settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

    def attempt(self, password: str, **fields: Any) -> int:
        values = {"username": "ann", "password": password, **fields}
        return Client().post(reverse("admin:login"), values).status_code

    def test_too_many_wrong_passwords_must_wait(self) -> None:
        Operator.objects.create_superuser("ann", password="right")

        for _ in range(configuration().web.login_failures - 1):
            assert self.attempt("wrong") == 200
        assert self.attempt("wrong") == 429
        assert self.attempt("right") == 429

    def test_others_may_still_log_in(self) -> None:
        Operator.objects.create_superuser("bob", password="right")
        Operator.objects.create_superuser("ann", password="right")
        for _ in range(configuration().web.login_failures + 1):
            self.attempt("wrong")

        assert self.attempt("right", username="bob") == 302

    def test_a_right_password_forgets_the_wrong_ones(self) -> None:
        Operator.objects.create_superuser("ann", password="right")
        for _ in range(3):
            for _ in range(configuration().web.login_failures - 1):
                self.attempt("wrong")
            assert self.attempt("right") == 302


@pytest.mark.django_db
@pytest.mark.parametrize("host", ["10.1.2.3:8000", "llm_queue:8000", "anything.example"])
def test_e1_e2_programs_may_call_by_any_name_and_pages_may_not(client: Client, host: str) -> None:
    assert client.get("/api/v1/messages", HTTP_HOST=host).json()["code"] == 1011
    assert client.get("/metrics", HTTP_HOST=host).status_code == 200
    assert client.get("/admin/", HTTP_HOST=host).status_code == 400
