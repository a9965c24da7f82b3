"""How long an answer is expected to be: what the estimator promises."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduling.policies.estimates import WINDOW, Estimate, averaged, expected_output

lengths = st.lists(st.integers(0, 100_000), min_size=1, max_size=300)


@given(st.lists(lengths, min_size=1, max_size=5))
def test_the_mean_stays_within_what_was_seen(groups: list[list[int]]) -> None:
    estimate = Estimate()
    for group in groups:
        estimate = estimate.learn(group)

    seen = [length for group in groups for length in group]
    assert estimate.samples == len(seen)
    assert min(seen) - 1e-6 <= estimate.mean <= max(seen) + 1e-6


@given(st.lists(st.integers(0, 100_000), min_size=1, max_size=WINDOW), st.data())
def test_while_young_it_is_the_plain_mean_however_answers_are_grouped(
    seen: list[int], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(seen)))

    estimate = Estimate().learn(seen[:cut]).learn(seen[cut:])

    assert estimate.mean == pytest.approx(sum(seen) / len(seen))


def test_it_follows_a_flow_whose_answers_change() -> None:
    rng = random.Random(1)
    estimate = Estimate()
    for _ in range(1000):
        estimate = estimate.learn([rng.randrange(5, 15)])
    for _ in range(3 * WINDOW):
        estimate = estimate.learn([rng.randrange(900, 1100)])

    assert 900 < estimate.mean < 1100


def test_nothing_new_changes_nothing() -> None:
    assert Estimate(5.0, 3).learn([]) == Estimate(5.0, 3)


@pytest.mark.parametrize(
    ("own", "model", "max_tokens", "expected"),
    [
        pytest.param(Estimate(30, 5), Estimate(90, 50), None, 30, id="the flow's own"),
        pytest.param(None, Estimate(90, 50), None, 90, id="else its model's"),
        pytest.param(Estimate(), Estimate(), None, 256, id="else the default"),
        pytest.param(None, None, None, 256, id="nothing known"),
        pytest.param(Estimate(30, 5), None, 8, 8, id="never above what is allowed"),
        pytest.param(None, None, 100_000, 256, id="a high limit is no estimate"),
    ],
)
def test_the_nearest_knowledge_counts(
    own: Estimate | None, model: Estimate | None, max_tokens: int | None, expected: float
) -> None:
    found = expected_output(own=own, model=model, default=256, max_tokens=max_tokens)

    assert found == expected


def test_no_flow_outweighs_its_window_in_the_models_mean() -> None:
    assert averaged([Estimate(10, 1_000_000), Estimate(30, WINDOW)]).mean == 20
    assert averaged([]) == Estimate()
