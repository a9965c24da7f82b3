"""What the configuration tells of its secrets, in errors and where it is shown."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from llmqueue_project.config import ROOT, Config, configuration
from llmqueue_project.misconfigured import Misconfigured, refuse_unknown

SECRET = "sentinel-of-a-secret"


@pytest.mark.parametrize(
    "wrong",
    [
        {"LLMQUEUE_CREDENTIAL_KEYS": SECRET},
        {"LLMQUEUE_ENVIRONMENT": "production", "DATABASE_URL": f"postgresql://u:{SECRET}@h/d"},
        {"LLMQUEUE_ENVIRONMENT": "production", "LLMQUEUE_SECRET_KEY": SECRET},
    ],
)
def test_an_error_at_start_holds_no_secret(
    monkeypatch: pytest.MonkeyPatch, wrong: dict[str, str]
) -> None:
    for name, value in wrong.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(ValidationError) as caught:
        Config()

    assert SECRET not in str(caught.value)
    assert "sentinel" not in repr(caught.value)


def test_secrets_among_the_endpoints_are_not_shown() -> None:
    config = Config(
        endpoints=[
            {
                "name": "e",
                "api_key_variable": "LLM_E",
                "credential": SECRET,
                "extra_headers": {"X-Team": SECRET},
            }
        ]
    )

    shown = config.model_dump(mode="json")

    assert SECRET not in str(shown)
    assert shown["endpoints"][0]["api_key_variable"] == "LLM_E"
    assert list(shown["endpoints"][0]["extra_headers"]) == ["X-Team"]
    assert config.endpoints[0]["extra_headers"] == {"X-Team": SECRET}


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("LLMQUEUE_SCHEDULNG__LEASE_SECONDS", "LLMQUEUE_SCHEDULING__LEASE_SECONDS?"),
        ("LLMQUEUE_SCHEDULING__LEASE_SECNDS", "LLMQUEUE_SCHEDULING__LEASE_SECONDS?"),
        ("LLMQUEUE_LOGLEVEL", "LLMQUEUE_LOG_LEVEL?"),
        ("LLMQUEUE_DATABASE_URL", "its name is DATABASE_URL"),
    ],
)
def test_a_variable_that_would_be_ignored_is_refused(variable: str, said: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        refuse_unknown(Config, {variable: SECRET})

    assert str(caught.value).startswith(f"{variable} is no setting")
    assert said in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "variable",
    [
        "LLMQUEUE_SCHEDULING__LEASE_SECONDS",
        "LLMQUEUE_SCHEDULING__MAX_WAIT__LOW",
        "LLMQUEUE_PORT",
        # Kubernetes sets these for a service of the name `llmqueue`.
        "LLMQUEUE_SERVICE_PORT_HTTP",
        "LLMQUEUE_PORT_8000_TCP_ADDR",
        "PATH",
    ],
)
def test_variables_of_others_are_let_be(variable: str) -> None:
    refuse_unknown(Config, {variable: "1"})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file"),
        ("a: [\n", "is not YAML, line 2"),
        ("- 3\n", "must hold settings by name"),
        ("loglevel: INFO\n", "loglevel is no setting; did you mean log_level?"),
        ("scheduling: {lease_secnds: 4}\n", "lease_secnds is no setting; did you mean lease_sec"),
        ("scheduling: {lease_seconds: soon}\n", "scheduling.lease_seconds: "),
        ("log_level: loud\n", "log_level: "),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_the_setting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None, said: str
) -> None:
    path = tmp_path / "config.yaml"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv("LLMQUEUE_CONFIG", str(path))
    configuration.cache_clear()
    try:
        with pytest.raises(Misconfigured) as caught:
            configuration()
    finally:
        configuration.cache_clear()

    assert said in str(caught.value)


def test_an_empty_variable_counts_as_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMQUEUE_LOG_LEVEL", "")

    assert Config().log_level == "INFO"


def test_no_program_starts_with_a_traceback() -> None:
    environment = {**os.environ, "LLMQUEUE_LOG_LEVEL": "loud"}

    done = subprocess.run(
        [sys.executable, "manage.py", "check"], cwd=ROOT, env=environment, capture_output=True
    )

    assert done.returncode == 1
    assert done.stderr.startswith(b"llmqueue cannot start: log_level: ")
    assert b"Traceback" not in done.stderr
