"""Which operations of OpenAI's API does llmqueue pass on, and where does an endpoint offer each?"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Api:
    """One operation.

    Attributes:
        path: what follows an OpenAI-compatible base URL.
        id_prefix: the beginning of its answers' ids.
    """

    path: str
    id_prefix: str


# The keys are stored with jobs (`Job.api`) and endpoints (`Endpoint.apis`).
APIS = {
    "chat": Api("/chat/completions", "chatcmpl-"),
    "completion": Api("/completions", "cmpl-"),
    "embedding": Api("/embeddings", "embd-"),
}
EVERY_API = frozenset(APIS)
