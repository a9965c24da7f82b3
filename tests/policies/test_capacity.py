"""Capacity strategies: what every one of them must keep, and what each is for."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduling.levels import LEVELS
from scheduling.policies.capacity import NAMED, LevelState, Snapshot, Strategy

SHARES = (0.0, 0.20, 0.15, 0.10)
counts = st.integers(0, 60)
limits = st.one_of(st.just(0), st.integers(1, 40))


@st.composite
def snapshots(draw: st.DrawFn, limited: bool = True) -> Snapshot:
    levels = tuple(
        LevelState(name, draw(counts), draw(counts), draw(limits) if limited else 0, share)
        for name, share in zip(LEVELS, SHARES, strict=True)
    )
    slots = draw(st.integers(1, 64))
    return Snapshot(levels, slots, draw(st.integers(1, slots)))


every = pytest.mark.parametrize("strategy", NAMED.values(), ids=NAMED)
sharing = pytest.mark.parametrize("name", ["dynamic", "hybrid"])


def allowed(name: str, model_set: Snapshot) -> int:
    return model_set.slots if name == "dynamic" else model_set.learned


@every
@given(model_set=snapshots())
def test_no_cap_exceeds_the_operators_limit(strategy: Strategy, model_set: Snapshot) -> None:
    caps = strategy.caps([model_set])

    for level in model_set.levels:
        if level.limit:
            assert 1 <= caps[level.name] <= level.limit


@every
@given(model_set=snapshots())
def test_every_level_with_work_may_have_a_slot(strategy: Strategy, model_set: Snapshot) -> None:
    caps = strategy.caps([model_set])

    assert all(caps.get(level.name, 1) >= 1 for level in model_set.levels)


@sharing
@given(model_set=snapshots())
def test_no_slot_idles_while_something_that_may_have_it_waits(
    name: str, model_set: Snapshot
) -> None:
    caps = NAMED[name].caps([model_set])

    used = sum(min(level.demand, caps[level.name]) for level in model_set.levels)
    assert used >= min(allowed(name, model_set), sum(level.demand for level in model_set.levels))


@sharing
@given(model_set=snapshots(limited=False))
def test_with_work_everywhere_the_caps_share_out_the_slots(name: str, model_set: Snapshot) -> None:
    full = replace(model_set, levels=tuple(replace(x, waiting=100) for x in model_set.levels))

    caps = NAMED[name].caps([full])

    assert sum(caps.values()) == max(allowed(name, model_set), len(LEVELS))


@every
@given(model_set=snapshots(), place=st.integers(0, 3), more=st.integers(1, 50))
def test_more_backlog_of_its_own_costs_a_level_nothing(
    strategy: Strategy, model_set: Snapshot, place: int, more: int
) -> None:
    fuller = list(model_set.levels)
    fuller[place] = replace(fuller[place], waiting=fuller[place].waiting + more)
    name = LEVELS[place]

    before = strategy.caps([model_set]).get(name, 0)
    after = strategy.caps([replace(model_set, levels=tuple(fuller))]).get(name, 0)

    assert after >= before


@sharing
@given(model_set=snapshots(limited=False), place=st.integers(1, 3))
def test_a_worse_level_keeps_its_share_whatever_waits_above(
    name: str, model_set: Snapshot, place: int
) -> None:
    flooded = tuple(replace(x, waiting=1000) for x in model_set.levels)

    caps = NAMED[name].caps([replace(model_set, levels=flooded)])

    assert caps[LEVELS[place]] >= int(SHARES[place] * allowed(name, model_set))


@sharing
@given(first=snapshots(limited=False), second=snapshots(limited=False))
def test_model_sets_add_up(name: str, first: Snapshot, second: Snapshot) -> None:
    strategy = NAMED[name]
    both, one, other = (strategy.caps(p) for p in ([first, second], [first], [second]))

    assert both == {level: one[level] + other[level] for level in LEVELS}


def state(*demand: int, slots: int = 20, learned: int = 20, low_limit: int = 0) -> Snapshot:
    levels = tuple(
        LevelState(name, waiting, 0, low_limit if name == "low" else 0, share)
        for name, waiting, share in zip(LEVELS, demand, SHARES, strict=True)
    )
    return Snapshot(levels, slots, learned)


def test_static_is_the_operators_word() -> None:
    assert NAMED["static"].caps([state(50, 50, 50, 50)]) == {}
    assert NAMED["static"].caps([state(0, 0, 0, 0, low_limit=4)]) == {"low": 4}


def test_dynamic_follows_the_backlog() -> None:
    dynamic = NAMED["dynamic"]

    assert dynamic.caps([state(0, 0, 0, 50)])["low"] == 20
    assert dynamic.caps([state(0, 0, 50, 50)])["low"] == 2
    assert dynamic.caps([state(100, 0, 0, 50)]) == {
        "realtime": 18,
        "high": 1,
        "normal": 1,
        "low": 2,
    }


def test_adaptive_scales_limits_with_what_was_learned() -> None:
    assert NAMED["adaptive"].caps([state(0, 0, 0, 9, learned=10, low_limit=8)]) == {"low": 4}


def test_hybrid_shares_out_what_was_learned() -> None:
    assert NAMED["hybrid"].caps([state(100, 0, 0, 50, learned=10)])["realtime"] == 9
