from __future__ import annotations

from configparser import RawConfigParser
from pathlib import Path

import pytest
from supervisor.options import ServerOptions

from llmqueue_project.embedded.accounts import Account
from llmqueue_project.embedded.errors import EmbeddedError
from llmqueue_project.embedded.programs import Program, supervisord_configuration
from llmqueue_project.embedded.state import State

NOBODY = Account("nobody", 65534, 65534)


@pytest.fixture
def state(tmp_path: Path) -> State:
    made = State(tmp_path)
    made.create()
    return made


def parsed(text: str) -> RawConfigParser:
    parser = RawConfigParser()
    parser.read_string(text)
    return parser


def test_supervisord_reads_back_what_was_meant(state: State) -> None:
    program = Program(
        "worker", ["celery", "-n", "llm@%h", "a b"], environment={"METRICS": "/tmp/100%"}
    )
    path = state.root / "supervisord.conf"
    path.write_text(supervisord_configuration(state, state.run / "s", [program]))

    options = ServerOptions()
    options.realize(["-c", str(path)])

    (group,) = options.process_group_configs
    (process,) = group.process_configs
    assert process.command.endswith("-- celery -n llm@%h 'a b'")
    assert process.environment["METRICS"] == "/tmp/100%"
    assert process.autorestart
    assert not process.autostart


def test_services_stop_after_apps(state: State) -> None:
    programs = [Program("postgres", ["postgres"], "services"), Program("web", ["granian"])]

    sections = parsed(supervisord_configuration(state, state.run / "s", programs))

    # supervisord stops groups by falling priority.
    assert sections.getint("group:apps", "priority") > sections.getint("group:services", "priority")


def test_only_the_owner_may_talk_to_supervisord(state: State) -> None:
    sections = parsed(supervisord_configuration(state, state.run / "s", []))

    assert sections.get("unix_http_server", "chmod") == "0700"


def test_a_value_that_supervisord_would_cut_is_refused(state: State) -> None:
    program = Program("web", ["granian", "folder ;name"])

    with pytest.raises(EmbeddedError, match="rename the folder"):
        supervisord_configuration(state, state.run / "s", [program])


def test_a_program_is_tethered_with_its_account_and_signal() -> None:
    program = Program(
        "llm", ["serve"], "services", NOBODY, stop_signal="INT", bare=True, keep=("LLM_API_KEY",)
    )

    options = program.tethered[4 : program.tethered.index("--")]

    assert options == [
        *("--user", "65534:65534"),
        *("--signal", "INT"),
        "--bare",
        *("--keep", "LLM_API_KEY"),
    ]
