"""docker-compose.yml starts the whole system, with no password of its own."""

import re
from typing import Any

import pytest
import yaml

from llmqueue_project.config import ROOT
from llmqueue_project.config_sections import SchedulingConfig, WebConfig

TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
SECRETS = {
    "LLMQUEUE_SECRET_KEY",
    "LLMQUEUE_METRICS_TOKEN",
    "POSTGRES_PASSWORD",
    "VALKEY_PASSWORD",
    "GRAFANA_ADMIN_PASSWORD",
}


@pytest.fixture
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(TEXT)["services"]
    return found


def test_every_part_is_a_service(services: dict[str, Any]) -> None:
    ours = {"web", "worker", "housekeeping", "beat", "flower", "migrate"}

    assert set(services) == ours | {"postgres", "valkey", "prometheus", "grafana"}


def test_a_missing_secret_stops_compose() -> None:
    required = set(re.findall(r"\$\{(\w+):\?", TEXT))
    example = (ROOT / ".env.example").read_text(encoding="utf-8")

    assert required == SECRETS | {"LLMQUEUE_HOST"}
    assert set(re.findall(r"^(\w+)=$", example, re.MULTILINE)) == required


def test_no_secret_has_a_default() -> None:
    defaulted = re.findall(r"\$\{(\w+):?-", TEXT)

    assert not SECRETS & set(defaulted)


def test_every_process_that_lasts_is_checked(services: dict[str, Any]) -> None:
    lasting = set(services) - {"migrate"}

    assert all("healthcheck" in services[name] for name in lasting)


def test_ports_are_published_on_loopback_only(services: dict[str, Any]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]

    assert ports
    assert all(port.startswith(("127.0.0.1:", "${LLMQUEUE_BIND:-127.0.0.1}:")) for port in ports)


def test_clients_addresses_are_the_proxys_word(services: dict[str, Any]) -> None:
    """Else all have the proxy's own, and one of them locks an operator out for all."""
    trusted = services["web"]["environment"]["LLMQUEUE_WEB__TRUSTED_PROXIES"]

    assert trusted == "${LLMQUEUE_TRUSTED_PROXIES:-1}"
    assert "X-Forwarded-For" in (ROOT / "deploy" / "nginx.conf").read_text(encoding="utf-8")


def test_web_is_given_time_to_leave(services: dict[str, Any]) -> None:
    web, patience = WebConfig(), 0.0
    for option in services["web"]["command"]:
        if option.startswith("--workers-kill-timeout="):
            patience = float(option.partition("=")[2])

    assert patience > web.shutdown_accept_seconds + web.shutdown_grace_seconds
    assert float(services["web"]["stop_grace_period"].removesuffix("s")) > patience


def test_workers_are_given_time_to_finish(services: dict[str, Any]) -> None:
    grace = SchedulingConfig.model_fields["shutdown_grace_seconds"].default

    assert float(services["worker"]["stop_grace_period"].removesuffix("s")) > grace
