from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from llmqueue_project.embedded.errors import AlreadyRunning, EmbeddedError
from llmqueue_project.embedded.state import State, write_private


@pytest.fixture
def state(tmp_path: Path) -> State:
    made = State(tmp_path / "state")
    made.create()
    return made


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_secrets_are_made_once_and_private(state: State) -> None:
    first = state.secrets()

    assert state.secrets() == first
    assert mode(state.root / "secrets.json") == 0o600
    assert len(set(first.values())) == len(first)
    assert all(len(value) >= 32 for value in first.values())


def test_a_new_secret_joins_the_known_ones(state: State) -> None:
    state.save("secrets", {"postgres": "kept", "api_key": "kept too"})

    secrets = state.secrets()

    assert secrets["postgres"] == "kept"
    assert secrets["api_key"] == "kept too"
    assert json.loads((state.root / "secrets.json").read_text()) == secrets


def test_replacing_a_private_file_leaves_no_rest_and_narrows_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_text("old")
    path.chmod(0o644)

    write_private(path, "new")

    assert path.read_text() == "new"
    assert mode(path) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_the_lock_names_its_holder_and_is_free_again_afterwards(state: State) -> None:
    with (
        state.locked("make up"),
        pytest.raises(AlreadyRunning, match="make up, process"),
        state.locked("make demo"),
    ):
        pass

    with state.locked("make demo"):
        pass


def test_a_damaged_record_is_explained(state: State) -> None:
    (state.root / "ports.json").write_text("{")

    with pytest.raises(EmbeddedError, match=r"ports\.json cannot be read"):
        state.load("ports")


def test_an_unusable_directory_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(EmbeddedError, match="LLMQUEUE_STATE_DIR"):
        State(tmp_path / "file" / "state").create()
