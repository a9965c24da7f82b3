"""What the processes that Celery starts write to their logs, at the configured level."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llmqueue_project.embedded.services import Services
from tests.eventually import eventually
from tests.fake_llm import running_fake_llm
from tests.stack import Stack, running_stack


def lines(stack: Stack, name: str, event: str) -> list[dict[str, Any]]:
    """The structured lines of an event; Celery's banner is none."""
    *written, _unfinished = stack.log(name).split("\n")
    found = [json.loads(line) for line in written if line.startswith("{")]
    return [line for line in found if line["event"] == event]


def test_failed_attempts_and_dead_letters_are_logged(services: Services) -> None:
    with running_fake_llm(tokens=3) as fake, running_stack(services, gear="direct") as stack:
        stack.register("fake", fake.base_url)

        answer = stack.chat("never [[status=503]]", headers={"X_Request_ID": "hopeless"})
        ((job,),) = stack.rows("select id from scheduling_job")
        attempts = lines(stack, "worker0", "attempt.failed")
        (dead,) = lines(stack, "worker0", "job.failed")

    assert answer.status == 502
    told = [(line["request_id"], line["attempt"], line["level"]) for line in attempts]
    assert told == [("hopeless", number, "info") for number in (1, 2, 3)]
    assert {line["job"] for line in attempts} == {dead["job"]} == {str(job)}
    assert (dead["request_id"], dead["level"]) == ("hopeless", "warning")
    assert (dead["code"], dead["attempts"]) == ("http_503", 3)


@pytest.mark.parametrize(
    ("command", "event"),
    [
        ("worker -P threads -c 1 -Q housekeeping -n chores@test", "chores@test ready."),
        ("beat -s {folder}/schedule", "beat: Starting..."),
    ],
    ids=["housekeeping", "beat"],
)
def test_chores_are_logged_at_the_configured_level(
    services: Services, tmp_path: Path, command: str, event: str
) -> None:
    stack = Stack(services)
    stack.start_celery("chores", *command.format(folder=tmp_path).split())
    try:
        (line,) = eventually(lambda: lines(stack, "chores", event), what=event)
    finally:
        stack.stop()

    assert line["level"] == "info"
