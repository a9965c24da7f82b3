from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from llmqueue_project.embedded import readiness
from llmqueue_project.embedded.errors import EmbeddedError, PartFailed
from llmqueue_project.embedded.supervision import Status, Supervisor

LOG = Path("web.log")


class Statuses:
    """A supervisor that tells one status after the other."""

    def __init__(self, *states: tuple[str, int]) -> None:
        self._rows = [Status("web", state, started, state) for state, started in states]

    def status(self) -> dict[str, Status]:
        row = self._rows.pop(0) if len(self._rows) > 1 else self._rows[0]
        return {"web": row}


def wait(*states: tuple[str, int], seconds: float = 5.0) -> None:
    supervisor = cast(Supervisor, Statuses(*states))
    readiness.until(lambda: False, supervisor=supervisor, name="web", log=LOG, seconds=seconds)


@pytest.mark.parametrize("state", ["BACKOFF", "EXITED", "FATAL"])
def test_a_part_that_ended_is_not_waited_for(state: str) -> None:
    with pytest.raises(PartFailed, match="web ended while it started") as failure:
        wait(("RUNNING", 1), (state, 1))

    assert failure.value.log == LOG


def test_a_part_that_supervisord_had_to_start_again_has_failed() -> None:
    with pytest.raises(PartFailed, match="web ended while it started"):
        wait(("RUNNING", 1), ("RUNNING", 2))


def test_a_part_that_stays_silent_is_given_up() -> None:
    with pytest.raises(PartFailed, match="does not answer"):
        wait(("RUNNING", 1), seconds=0.1)


def test_a_database_out_of_reach_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "EXTERNAL_SECONDS", 0.0)

    with pytest.raises(EmbeddedError, match="DATABASE_URL cannot be used"):
        readiness.require_database("postgresql://u:secret@127.0.0.1:1/x")


def test_a_redis_out_of_reach_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "EXTERNAL_SECONDS", 0.0)

    with pytest.raises(EmbeddedError, match="REDIS_URL cannot be used"):
        readiness.require_redis("redis://:secret@127.0.0.1:1/0")
