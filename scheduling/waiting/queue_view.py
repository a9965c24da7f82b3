"""What does a process know of the queue: as it last read it, and what has joined since?"""

from __future__ import annotations

import time
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from scheduling.models import Priority, Status
from scheduling.pauses import NONE, Pauses
from scheduling.policies.smoothing import Pace, between
from scheduling.policies.waiting import ModelSetLoad, free_slots, level_rate
from scheduling.specs import JobSpec, Receipt
from scheduling.waiting.level_settings import floors
from scheduling.waiting.model_set import LAST, ModelSet, Place
from scheduling.waiting.queue_load import QueueLoad

FRESH_SECONDS = 1.0
# An older view decides nothing: a door that was idle must not refuse by yesterday's queue.
OLD_SECONDS = 5.0
# It is read sooner while many join; and reading may take at most this share of the time.
SOON_SECONDS, LARGEST_SHARE = 0.2, 0.05
# How long workers may take to be at full speed once Valkey is back.
SETTLING_SECONDS = 10.0
FLOWS_REMEMBERED = 100_000


class QueueView:
    """The queue as one process sees it.

    Args:
        clock: seconds that only go forward.
    """

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self._clock = clock or time.monotonic
        self.pauses: Pauses = NONE
        self.load = QueueLoad()
        self._level_clocks = _LevelClocks()
        self._joined = _Joined()
        self._loads_now: dict[frozenset[str], ModelSetLoad] = {}
        self._read_at = float("-inf")
        self._cost_seconds = 0.0
        self._still_until = float("-inf")

    @property
    def age(self) -> float:
        """Seconds since it was read."""
        return self._clock() - self._read_at

    @property
    def is_due(self) -> bool:
        """Whether it is time to read it again: after a second, or sooner while many join."""
        most = max((each.load.slots for each in self.load.model_sets), default=8)
        many = self.load.waiting > 0 and self._joined.count >= max(8, most)
        patience = SOON_SECONDS if many else FRESH_SECONDS
        return self.age >= patience and self.is_affordable

    @property
    def is_affordable(self) -> bool:
        """Whether reading it now would keep to its share of the time."""
        return self.age >= self._cost_seconds / LARGEST_SHARE

    @property
    def is_old(self) -> bool:
        """Whether it is too old to decide by."""
        return self.age > max(OLD_SECONDS, 2 * self._cost_seconds / LARGEST_SHARE)

    def stand_still(self) -> None:
        """Nothing starts now, because Valkey is away: how fast the queue goes is not known."""
        self._still_until = self._clock() + SETTLING_SECONDS

    @property
    def stands_still(self) -> bool:
        """Whether the queue stands still for an outage, or did a moment ago."""
        return self._clock() < self._still_until

    @property
    def waiting(self) -> int:
        """How many jobs wait, those included that joined through this process since."""
        return self.load.waiting + self._joined.count

    @property
    def is_new(self) -> bool:
        """Whether it was never read."""
        return self._read_at == float("-inf")

    def update(self, pauses: Pauses, load: QueueLoad, *, cost_seconds: float = 0.0) -> None:
        """Replace it by what was just read, which took so long."""
        seconds = self.age
        if self.stands_still:
            self._level_clocks = _LevelClocks()
            self.load = load
        else:
            self._level_clocks.update(load.clocks(), seconds, pauses)
            self.load = load.steadied(self.load, seconds)
        self.pauses = pauses
        self._read_at = self._clock()
        self._cost_seconds = cost_seconds
        self._joined.forget(self._read_at - cost_seconds, load)
        self._loads_now.clear()

    def add(self, specs: Sequence[JobSpec], receipts: Sequence[Receipt]) -> None:
        """These jobs have been stored: they stand before the next ones."""
        now = self._clock()
        self._loads_now.clear()
        for spec, receipt in zip(specs, receipts, strict=True):
            self._joined.add(spec, receipt, self.load.model_set(spec.model), now)

    def load_now(self, models: ModelSet) -> ModelSetLoad:
        """What waits and runs, with the jobs that joined since at every level."""
        if not self._joined.count:
            return models.load
        known = self._loads_now.get(models.models)
        if known is None:
            joined = [len(self._joined.places(level, models)) for level in Priority]
            levels = tuple(
                replace(each, queued=each.queued + more) if more else each
                for each, more in zip(models.load.levels, joined, strict=True)
            )
            known = self._loads_now[models.models] = replace(models.load, levels=levels)
        return known

    def before(self, models: ModelSet, level: Priority, place: Place) -> tuple[int, float]:
        """The position of a job that waits at a place, and the work before it.

        Jobs that found a free slot since the view was read have started, and are not counted.
        """
        jobs, work = models.before(level, place)
        since = bisect_left(self._joined.places(level, models), place)
        # What the level starts until its clock gets to the tag, where its pace is known.
        seconds = self._level_clocks.seconds_to(level, place[0])
        until_tag = _rate(models, level) * seconds if seconds else 0.0
        below = self._started_below(models, level, place[1])
        waiting = jobs + since - self._started(models, level, below)
        return max(0, waiting) + 1, between(work + since + below, until_tag)

    def _started_below(self, models: ModelSet, level: Priority, before_id: str) -> int:
        """Jobs of lower levels that came earlier, and found a slot free."""
        joined = (self._joined.places(each, models) for each in Priority if each > level)
        earlier = sum(own < before_id for places in joined for _, own in places)
        return min(earlier, free_slots(models.load, int(level))) if earlier else 0

    def _started(self, models: ModelSet, level: Priority, below: int) -> int:
        """Jobs of a level for which slots were free; those of higher levels take theirs first.

        Where nothing runs and nothing has ended, perhaps nobody works.
        """
        free = free_slots(models.load, int(level))
        if not free or not (models.load.processing or models.durations):
            return 0
        above = sum(len(self._joined.places(each, models)) for each in Priority if each < level)
        return max(0, free - below - above - models.jobs_above(level))

    def ahead(self, models: ModelSet, spec: JobSpec) -> tuple[float, float]:
        """Jobs and work before a job if it joined now.

        By its flow's last fair tag, so that a flood is refused and not those whom it would delay.
        Other flows will put more before that tag.
        """
        level = spec.level
        last_tag = self._joined.last_tag(spec.flow_id, level)
        jobs, work = models.ahead(level, last_tag)
        tag = max([last_tag, *(line.clock for line in models.lines[level])])
        since = bisect_right(self._joined.places(level, models), (tag, LAST))
        rate = _rate(models, level)
        until_tag = rate * self._level_clocks.seconds_to(level, last_tag)
        started = rate * self.age
        most = max(work + since, until_tag)
        return max(0.0, jobs + since - started), max(0.0, most - started)


class _Joined:
    """The jobs that this process stored since the queue was read; last tags it keeps for longer."""

    def __init__(self) -> None:
        self._since: list[tuple[float, Priority, frozenset[str], Place]] = []
        self._places: dict[tuple[Priority, frozenset[str]], list[Place]] = {}
        self._last_tags: dict[tuple[int, Priority], float] = {}
        self.count = 0

    def forget(self, instant: float, load: QueueLoad) -> None:
        """The queue was read, from an instant on: keep those stored later that were not seen."""
        later = [each for each in self._since if each[0] >= instant]
        self.count = 0
        self._since.clear()
        self._places.clear()
        for stored_at, level, models, place in later:
            found = next((each for each in load.model_sets if each.models == models), None)
            if found is not None and not found.has(level, place):
                self._add(stored_at, level, models, place)

    def add(self, spec: JobSpec, receipt: Receipt, models: ModelSet | None, now: float) -> None:
        if len(self._last_tags) > FLOWS_REMEMBERED:
            self._last_tags.clear()
        self._last_tags[spec.flow_id, spec.level] = receipt.fair_tag
        if receipt.status == Status.QUEUED and models is not None:
            place = (receipt.fair_tag, str(receipt.job_id))
            self._add(now, spec.level, models.models, place)
        else:
            self.count += 1

    def _add(self, now: float, level: Priority, models: frozenset[str], place: Place) -> None:
        self.count += 1
        self._since.append((now, level, models, place))
        insort(self._places.setdefault((level, models), []), place)

    def places(self, level: Priority, models: ModelSet) -> Sequence[Place]:
        """Of those that are queued for a model set, in fair order."""
        return self._places.get((level, models.models), ())

    def last_tag(self, flow_id: int, level: Priority) -> float:
        """The fair tag of a flow's latest job; 0 if this process has not stored any."""
        return self._last_tags.get((flow_id, level), 0.0)


class _LevelClocks:
    """The levels' virtual clocks, and how fast they go."""

    def __init__(self) -> None:
        self._times: Mapping[Priority, float] = {}
        self._paces: dict[Priority, Pace] = {}

    def update(self, times: Mapping[Priority, float], seconds: float, pauses: Pauses) -> None:
        """The clocks now, so many seconds after the last update; a paused one tells no pace."""
        self._paces = {
            level: self._paces.get(level, Pace()).after(time - self._times[level], seconds)
            for level, time in times.items()
            if level in self._times and not pauses.stops(level)
        }
        self._times = times

    def seconds_to(self, level: Priority, tag: float) -> float:
        """How long until a level's clock gets to a tag; 0 where that is not known."""
        pace = self._paces.get(level)
        return 0.0 if pace is None else pace.seconds_to(tag - self._times[level])


def _rate(models: ModelSet, level: Priority) -> float:
    """Jobs of a level that start in a second; 0 where that is not known."""
    return level_rate(models.load, int(level), floors()) or 0.0
