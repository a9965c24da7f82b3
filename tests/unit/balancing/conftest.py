"""An endpoint with a stored credential, and the keys that read it."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr

from balancing import services
from balancing.models import Endpoint
from llmqueue_project.config import configuration

SECRET = "sk-a-very-secret-key-1234"
OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()
HOME: dict[str, Any] = {"base_url": "https://home/v1", "model_names": ["m"]}


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> Any:
    def use(*configured: str) -> None:
        monkeypatch.setattr(configuration(), "credential_keys", SecretStr(",".join(configured)))

    use(OLD)
    return use


@pytest.fixture
def stored(db: None, keys: Any) -> Endpoint:
    return services.register(name="e", credential=SECRET, **HOME)
