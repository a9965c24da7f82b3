"""What is measured: an OpenAI-compatible URL and the processes that stand behind it."""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.processes import Process
from llmqueue_project.embedded.ports import free_port

MODEL = "fake-model"


@dataclass(frozen=True, slots=True)
class Contender:
    """`parts` are the process trees whose CPU time and memory count as this contender's.

    `keys` are further tenants' API keys by name, `database_url` is where it keeps its jobs,
    `redis_url` its live state.
    """

    name: str
    base_url: str
    api_key: str = ""
    parts: dict[str, int] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    database_url: str = ""
    redis_url: str = ""

    @property
    def chat_url(self) -> str:
        return f"{self.base_url}/chat/completions"

    def answers(self) -> bool:
        """Whether one request, made now, comes back as it should."""
        message = {"role": "user", "content": "Are you there?"}
        body = json.dumps({"model": MODEL, "messages": [message]}).encode()
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.api_key}"}
        request = urllib.request.Request(self.chat_url, body, headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return bool(json.load(response)["choices"])
        except (OSError, ValueError, KeyError):
            return False


@contextmanager
def fake_endpoint(directory: Path) -> Iterator[Contender]:
    """The endpoint that answers at once; also the contender `direct`."""
    port = free_port()
    command = [sys.executable, "-m", "tests.fake_llm", "--port", str(port), "--models", MODEL]
    log = directory / "endpoint.log"
    with Process("endpoint", command, log=log, environment=plain_environment()) as process:
        process.wait_until_answering(f"http://127.0.0.1:{port}/health", seconds=20)
        yield Contender("direct", f"http://127.0.0.1:{port}/v1", parts={"endpoint": process.pid})


def plain_environment() -> dict[str, str]:
    """Ours, without settings of llmqueue or LiteLLM that would change what is measured."""
    ours = ("LLMQUEUE_", "LITELLM_", "LLM_", "DATABASE_URL", "REDIS_URL")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}
