"""How does each provider's API read in OpenAI's shape? One module for each kind of endpoint."""

from __future__ import annotations

from balancing.kinds.anthropic import Anthropic
from balancing.kinds.contract import EndpointKind
from balancing.kinds.gemini import Gemini
from balancing.kinds.openai import AzureOpenAI, OpenAI
from balancing.models.choices import Kind

KINDS: dict[str, EndpointKind] = {
    Kind.OPENAI: OpenAI(),
    Kind.AZURE_OPENAI: AzureOpenAI(),
    Kind.ANTHROPIC: Anthropic(),
    Kind.GEMINI: Gemini(),
}
