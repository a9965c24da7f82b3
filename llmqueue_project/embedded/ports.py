"""Which ports? Free ones of 127.0.0.1, chosen once and kept while nobody else takes them."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterable

from llmqueue_project.embedded.errors import EmbeddedError
from llmqueue_project.embedded.state import State

# Below the ranges from which Linux (32768) and macOS (49152) take the local ports of outgoing
# connections: a server that restarts must not find its port lent to a client.
FIRST, LAST = 20_000, 29_999


def is_free(port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port(taken: Iterable[int] = ()) -> int:
    """A port nobody listens on."""
    excluded = set(taken)
    for _ in range(1000):
        port = random.randint(FIRST, LAST)
        if port not in excluded and is_free(port):
            return port
    raise EmbeddedError(f"no free port between {FIRST} and {LAST} on 127.0.0.1")


def choose(
    state: State, names: Iterable[str], fixed: dict[str, int] | None = None
) -> dict[str, int]:
    """The port of each name: the recorded one, or a new one if somebody else took it."""
    fixed = fixed or {}
    recorded = state.load("ports")
    ports: dict[str, int] = {}
    for name in names:
        if name in fixed:
            _refuse_taken(name, fixed[name])
        port = fixed.get(name) or recorded.get(name)
        ports[name] = port if port and is_free(port) else free_port([*ports.values()])
    if {**recorded, **ports} != recorded:
        state.save("ports", {**recorded, **ports})
    return ports


def _refuse_taken(name: str, port: int) -> None:
    if not is_free(port):
        raise EmbeddedError(f"port {port}, asked for {name}, is in use by another program")
