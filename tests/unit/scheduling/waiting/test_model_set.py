"""What stands before a place among the jobs of models that share endpoints."""

from __future__ import annotations

import pytest

from scheduling.models import Priority
from scheduling.waiting.model_set import STANDING_SECONDS, ModelLoad, ModelSet
from tests.hot_path import MODEL
from tests.unit.scheduling.waiting.seeing import SLOTS, row

NORMAL = Priority.NORMAL


def model_set(*rows: tuple[object, ...], **fields: object) -> ModelSet:
    loads = [ModelLoad.of_row(each) for each in rows]
    return ModelSet.of(SLOTS, frozenset({MODEL, "b"}), loads, **fields)  # type: ignore[arg-type]


def test_jobs_and_work_before_a_tag_and_before_the_next_job_of_a_flow() -> None:
    found = model_set(row(NORMAL, 4, tags=[1.0, 5.0, 5.0, 9.0], clock=5.0))

    assert found.before(NORMAL, 5.0) == (1, 1.0)
    assert found.ahead(NORMAL, 0.0) == (3, 3.0), "the clock has passed it: it joins there"
    assert found.ahead(NORMAL, 9.0) == (4, 4.0)


def test_lines_of_several_models_stand_side_by_side() -> None:
    found = model_set(row(NORMAL, 2, tags=[1.0, 4.0]), row(NORMAL, 2, tags=[2.0, 3.0], model="b"))

    assert found.before(NORMAL, 3.0) == (2, 2.0)


def test_a_job_is_as_large_as_its_cost_among_those_of_its_set() -> None:
    """A mean job of b takes three times as long as one of a; both end as often."""
    slow = {"model": "b", "service": 3.0, "tags": [2.0]}
    found = model_set(row(NORMAL, 1, tags=[1.0], service=1.0), row(NORMAL, 1, **slow))

    assert found.load.service_seconds == 2.0
    jobs, work = found.before(NORMAL, 9.0)
    assert (jobs, work) == (2, 0.5 + 1.5)


def test_those_behind_the_known_ones_count_by_their_mean() -> None:
    found = model_set(row(NORMAL, 10, tags=[1.0, 2.0], costs=[10.0, 30.0]))

    assert found.before(NORMAL, 9.0) == (10, 20.0)


def test_other_models_are_no_part_of_it() -> None:
    found = model_set(row(NORMAL, 3), row(NORMAL, 100, model="else", processing=50))

    assert found.load.levels[NORMAL].queued == 3
    assert found.load.processing == SLOTS


@pytest.mark.parametrize(
    ("fields", "paused", "standing"),
    [
        pytest.param({"oldest": STANDING_SECONDS}, frozenset(), True, id="for a while"),
        pytest.param({"oldest": STANDING_SECONDS - 0.1}, frozenset(), False, id="just now"),
        pytest.param({"oldest": 60.0}, frozenset({"normal"}), False, id="paused"),
    ],
)
def test_work_stands_when_it_has_waited_for_a_while(
    fields: dict[str, float], paused: frozenset[str], standing: bool
) -> None:
    assert model_set(row(NORMAL, 1, **fields), paused=paused).load.standing is standing
