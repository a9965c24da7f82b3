"""What the configuration tells of its secrets, in errors and where it is shown."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from llmqueue_project.config import Config

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
