"""What stands before a place among the jobs of models that share endpoints."""

from __future__ import annotations

import pytest

from scheduling.models import Priority
from scheduling.waiting.model_set import STANDING_SECONDS, ModelLoad, ModelSet
from scheduling.waiting.queue_load import services
from tests.hot_path import MODEL
from tests.unit.scheduling.waiting.seeing import SLOTS, row

NORMAL = Priority.NORMAL


def model_set(*rows: tuple[object, ...], **fields: object) -> ModelSet:
    loads = [ModelLoad.of_row(each) for each in rows]
    known = services(loads, {})
    return ModelSet.of(SLOTS, frozenset({MODEL, "b"}), loads, known, **fields)  # type: ignore[arg-type]


def test_jobs_and_work_before_a_tag_and_before_the_next_job_of_a_flow() -> None:
    found = model_set(row(NORMAL, 4, tags=[1.0, 5.0, 5.0, 9.0], clock=5.0))

    assert found.before(NORMAL, (5.0, "")) == (1, 1.0)
    assert found.ahead(NORMAL, 0.0) == (3, 3.0), "the clock has passed it: it joins there"
    assert found.ahead(NORMAL, 9.0) == (4, 4.0)


def test_lines_of_several_models_stand_side_by_side() -> None:
    found = model_set(row(NORMAL, 2, tags=[1.0, 4.0]), row(NORMAL, 2, tags=[2.0, 3.0], model="b"))

    assert found.before(NORMAL, (3.0, "")) == (2, 2.0)


def test_a_job_is_as_large_as_its_models_jobs_among_those_of_its_set() -> None:
    """A mean job of b takes three times as long as one of a; both end as often."""
    slow = {"model": "b", "service": 3.0, "tags": [2.0]}
    found = model_set(row(NORMAL, 1, tags=[1.0], service=1.0), row(NORMAL, 1, **slow))

    assert found.load.service_seconds == 2.0
    jobs, work = found.before(NORMAL, (9.0, ""))
    assert (jobs, work) == (2, 0.5 + 1.5)


def test_those_behind_the_known_ones_count_by_their_mean() -> None:
    varied = {"service": [1.0, 3.0], "service_cost": [10.0, 30.0]}
    found = model_set(row(NORMAL, 10, tags=[1.0, 2.0], costs=[20.0, 60.0], **varied))

    assert found.before(NORMAL, (9.0, "")) == (10, 20.0)


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


def test_jobs_with_the_same_tag_stand_in_the_order_of_their_ids() -> None:
    """Five tenants' first jobs all start at the clock: their tags are alike."""
    found = model_set(row(NORMAL, 3, tags=[7.0] * 3, ids=["a", "b", "c"]))

    assert [found.before(NORMAL, (7.0, name))[0] for name in "abcd"] == [0, 1, 2, 3]
    assert found.has(NORMAL, (7.0, "b"))
    assert not found.has(NORMAL, (7.0, "d"))


def test_a_job_is_as_large_as_its_cost_where_costs_tell_of_lengths() -> None:
    """Jobs of a second cost 10, those of a minute 600."""
    varied = {"service": [1.0, 60.0, 1.0, 60.0], "service_cost": [10.0, 600.0, 10.0, 600.0]}
    found = model_set(
        row(NORMAL, 2, tags=[1.0, 2.0], costs=[600.0, 10.0], ages=[0.5] * 4, **varied)
    )
    mean = found.load.service_seconds

    assert found.before(NORMAL, (2.0, ""))[1] * mean == pytest.approx(60.0)
    assert found.before(NORMAL, (9.0, ""))[1] * mean == pytest.approx(61.0)


def test_costs_that_say_nothing_of_lengths_make_no_job_larger() -> None:
    random = {"service": [1.0, 3.0, 1.0, 3.0], "service_cost": [10.0, 10.0, 40.0, 40.0]}
    found = model_set(row(NORMAL, 2, tags=[1.0, 2.0], costs=[40.0, 10.0], **random))

    assert found.before(NORMAL, (2.0, ""))[1] == pytest.approx(1.0)


def test_where_nobody_works_no_start_is_known() -> None:
    assert model_set(row(NORMAL, 4, processing=0)).starts is None
    assert model_set(row(NORMAL, 4, service=0.0)).starts is None
    assert model_set(row(NORMAL, 4)).starts is not None
