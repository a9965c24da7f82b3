"""Which level Celery's processes log at."""

from __future__ import annotations

import click
import pytest
from celery.bin.base import LOG_LEVEL
from celery.signals import setup_logging

from llmqueue_project import logging as llmqueue_logging
from llmqueue_project.config import configuration


@click.command()
@click.option("-l", "--loglevel", default="WARNING", type=LOG_LEVEL)
def program(loglevel: int) -> None:
    """A command with the option as Celery's have it."""
    set_up(loglevel)


def set_up(loglevel: int) -> None:
    """What Celery does when it starts."""
    ((_, answer),) = setup_logging.send(sender=None, loglevel=loglevel)
    assert answer is None


@pytest.fixture
def levels(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The levels that logging was configured with."""
    configured: list[str] = []
    monkeypatch.setattr(
        llmqueue_logging, "configure", lambda **given: configured.append(given["level"])
    )
    return configured


def test_the_setting_decides_where_no_level_is_given(levels: list[str]) -> None:
    program.main([], standalone_mode=False)

    assert levels == [configuration().log_level]


@pytest.mark.parametrize(
    ("option", "level"),
    [("--loglevel=WARNING", "WARNING"), ("-lwarning", "WARNING"), ("--loglevel=DEBUG", "DEBUG")],
)
def test_a_level_that_is_given_decides(levels: list[str], option: str, level: str) -> None:
    program.main([option], standalone_mode=False)

    assert levels == [level]


def test_a_level_that_the_environment_gives_decides(
    levels: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELERY_WORKER_LOGLEVEL", "ERROR")

    program.main([], standalone_mode=False, auto_envvar_prefix="CELERY_WORKER")

    assert levels == ["ERROR"]


def test_the_setting_decides_outside_a_command(levels: list[str]) -> None:
    set_up(30)

    assert levels == [configuration().log_level]
