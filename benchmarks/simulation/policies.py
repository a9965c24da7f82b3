"""What is compared, by name: llmqueue as configured, its parts, and its peers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from django.utils.module_loading import import_string

from benchmarks.simulation.doors import Admitting, Open
from benchmarks.simulation.fair_tags import FairTags, Lengths
from benchmarks.simulation.orders import ByArrival, ShuffleSharding, TokenCounters
from benchmarks.simulation.queues import EarliestDeadline, Levels, One, StockCelery
from benchmarks.simulation.replay import Door, Queue
from llmqueue_project.config import configuration
from scheduling.policies.levels import LevelPolicy, Strict, Weighted

# Worker processes: each holds a policy between levels of its own.
WORKERS = 2
WEIGHTS: Mapping[str, float] = {"realtime": 8, "high": 4, "normal": 2, "low": 1}

Made = tuple[Queue, Door]


def llmqueue(slots: int) -> Made:
    """The level policy, floors and limits of this environment's configuration."""
    queue = configured()
    return queue, Admitting(queue, slots=slots)


def floors(slots: int) -> Made:
    """The same with everybody admitted."""
    del slots
    return configured(), Open()


def configured() -> Levels:
    config = configuration().scheduling
    made: Callable[[Mapping[str, float]], LevelPolicy] = import_string(config.level_policy)
    lengths = Lengths(config.default_output_tokens)
    return Levels([made(config.floors) for _ in range(WORKERS)], partial(FairTags, lengths))


def strict(slots: int) -> Made:
    del slots
    return Levels([Strict({})]), Open()


def weighted(slots: int) -> Made:
    del slots
    return Levels([Weighted(WEIGHTS) for _ in range(WORKERS)]), Open()


def fifo(slots: int) -> Made:
    del slots
    return One(ByArrival()), Open()


def earliest_deadline(slots: int) -> Made:
    """What waited longest, as a part of what its level may wait."""
    del slots
    return EarliestDeadline(configuration().scheduling.max_wait), Open()


def stock_celery(slots: int) -> Made:
    return StockCelery(slots, workers=WORKERS), Open()


def token_counters(slots: int) -> Made:
    del slots
    return One(TokenCounters()), Open()


def lanes(slots: int) -> Made:
    del slots
    return One(ShuffleSharding()), Open()


def fair_tags(slots: int) -> Made:
    """The product's order within a level, alone."""
    del slots
    return One(FairTags(Lengths(configuration().scheduling.default_output_tokens))), Open()


POLICIES: Mapping[str, Callable[[int], Made]] = {
    "llmqueue": llmqueue,
    "floors": floors,
    "strict": strict,
    "weighted": weighted,
    "edf": earliest_deadline,
    "fifo": fifo,
    "celery": stock_celery,
}
FAIRNESS: Mapping[str, Callable[[int], Made]] = {
    "fair tags": fair_tags,
    "vtc": token_counters,
    "lanes": lanes,
    "fifo": fifo,
}
