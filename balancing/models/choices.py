"""Which words may an endpoint's row hold, and which APIs can each kind of endpoint serve?"""

from __future__ import annotations

from django.db import models

from balancing.apis import EVERY_API


class Kind(models.TextChoices):
    OPENAI = "openai", "OpenAI-compatible"
    AZURE_OPENAI = "azure_openai", "Azure OpenAI"
    ANTHROPIC = "anthropic", "Anthropic"
    GEMINI = "gemini", "Google Gemini"


class State(models.TextChoices):
    ENABLED = "enabled"
    DRAINING = "draining"
    DISABLED = "disabled"


class ManagedBy(models.TextChoices):
    HAND = "", "hand"
    FILE = "file", "configuration file"
    DNS = "dns", "DNS"


class Discover(models.TextChoices):
    NO = "", "one server"
    DNS = "dns", "a server at each address of the name"


# The APIs that llmqueue can ask of each kind of endpoint.
SUPPORTED: dict[str, frozenset[str]] = {
    Kind.OPENAI: EVERY_API,
    Kind.AZURE_OPENAI: EVERY_API,
    Kind.ANTHROPIC: frozenset({"chat"}),
    Kind.GEMINI: frozenset({"chat", "embedding"}),
}


def served_apis(kind: str, apis: list[str]) -> frozenset[str]:
    """The APIs that an endpoint serves: those in its row, else chat and completion if it can."""
    return frozenset(apis) or SUPPORTED[kind] & {"chat", "completion"}
