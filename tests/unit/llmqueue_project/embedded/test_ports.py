from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmqueue_project.embedded import ports
from llmqueue_project.embedded.errors import EmbeddedError
from llmqueue_project.embedded.state import State


@pytest.fixture
def state(tmp_path: Path) -> State:
    made = State(tmp_path)
    made.create()
    return made


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_ports_are_kept(state: State) -> None:
    first = ports.choose(state, ("postgres", "web"))

    assert ports.choose(state, ("postgres", "web")) == first
    assert len(set(first.values())) == 2
    assert all(ports.FIRST <= port <= ports.LAST for port in first.values())


def test_a_port_that_somebody_took_is_chosen_again(state: State, taken: int) -> None:
    state.save("ports", {"postgres": taken, "web": ports.free_port()})

    chosen = ports.choose(state, ("postgres", "web"))

    assert chosen["postgres"] != taken
    assert chosen["web"] == state.load("ports")["web"]
    assert state.load("ports") == chosen


def test_a_port_of_the_users_choice_must_be_free(state: State, taken: int) -> None:
    with pytest.raises(EmbeddedError, match=f"port {taken}, asked for web"):
        ports.choose(state, ("web",), {"web": taken})


def test_a_port_of_the_users_choice_is_taken(state: State) -> None:
    free = ports.free_port()

    assert ports.choose(state, ("web",), {"web": free}) == {"web": free}
