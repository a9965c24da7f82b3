from __future__ import annotations

from pathlib import Path

import pytest

from llmqueue_project.embedded import llm, parts
from llmqueue_project.embedded.errors import EmbeddedError
from llmqueue_project.embedded.postgres import Postgres
from llmqueue_project.embedded.state import State

EXTERNAL = {
    "DATABASE_URL": "postgresql://u:s3cr3t@db/x",
    "REDIS_URL": "redis://:s3cr3t@cache/0",
    "LLM_BASE_URL": "http://llm/v1",
}


@pytest.fixture
def state(tmp_path: Path) -> State:
    made = State(tmp_path)
    made.create()
    return made


@pytest.fixture(autouse=True)
def _as_ourselves(monkeypatch: pytest.MonkeyPatch) -> None:
    # Nothing is started here: who would run it does not matter.
    monkeypatch.setattr(parts, "service_account", lambda: None)


def test_each_url_replaces_a_part(state: State) -> None:
    planned = parts.plan(state, EXTERNAL)

    assert planned.named("postgres", "valkey", "llm") == []
    assert planned.named("web", "worker", "housekeeping", "beat", "flower")
    assert {name: planned.environment[name] for name in EXTERNAL} == EXTERNAL
    assert "LLM_API_KEY" not in planned.environment


def test_an_empty_url_replaces_nothing(state: State) -> None:
    planned = parts.plan(state, {**EXTERNAL, "REDIS_URL": ""})

    assert planned.named("postgres", "valkey", "llm") == ["valkey"]
    assert planned.environment["REDIS_URL"].startswith("redis://:")


def test_the_urls_of_a_sourced_env_file_replace_nothing(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Postgres, "prepare", lambda self: None)
    written = parts.plan(state, {"LLM": "fake"}).environment

    planned = parts.plan(state, {**written, "LLM_BASE_URL": "", "LLM": "fake"})

    assert planned.named("postgres", "valkey", "llm") == ["postgres", "valkey", "llm"]


def test_an_endpoint_of_ones_own_outranks_the_fake(state: State) -> None:
    planned = parts.plan(state, {**EXTERNAL, "LLM": "fake"})

    assert planned.llm is None


def test_the_fake_endpoint_takes_the_models_place(state: State) -> None:
    planned = parts.plan(state, {**EXTERNAL, "LLM_BASE_URL": "", "LLM": "fake"})

    assert planned.llm == "fake"
    assert planned.environment["LLM_MODEL"] == "fake"
    (program,) = (one for one in planned.programs if one.name == "llm")
    assert "tests.fake_llm" in program.command


def test_an_unknown_model_is_explained(state: State) -> None:
    with pytest.raises(EmbeddedError, match="LLM='gpt-7' is unknown"):
        parts.plan(state, {**EXTERNAL, "LLM_BASE_URL": "", "LLM": "gpt-7"})


def test_a_missing_model_is_explained(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llm, "installed", lambda: False)

    with pytest.raises(EmbeddedError, match=r"requirements-llm\.txt"):
        parts.plan(state, {**EXTERNAL, "LLM_BASE_URL": ""})


@pytest.mark.parametrize("value", ["x", "0", "65536", "-1"])
def test_a_bad_port_is_explained(state: State, value: str) -> None:
    with pytest.raises(EmbeddedError, match="LLMQUEUE_PORT"):
        parts.plan(state, {**EXTERNAL, "LLMQUEUE_PORT": value})


def test_no_secret_is_on_a_command_line(state: State) -> None:
    planned = parts.plan(state, {**EXTERNAL, "LLM_BASE_URL": "", "LLM": "fake", "REDIS_URL": ""})

    words = " ".join(word for program in planned.programs for word in program.tethered)
    for secret in (*state.secrets().values(), "s3cr3t"):
        assert secret not in words


def test_settings_of_the_user_win(state: State) -> None:
    planned = parts.plan(state, {**EXTERNAL, "LLMQUEUE_SECRET_KEY": "mine"})

    assert planned.environment["LLMQUEUE_SECRET_KEY"] == "mine"


def test_metrics_of_an_earlier_run_are_emptied(state: State) -> None:
    parts.plan(state, EXTERNAL)
    (state.root / "data" / "web-metrics" / "file").write_text("")

    parts.plan(state, EXTERNAL)

    assert list((state.root / "data" / "web-metrics").iterdir()) == []
