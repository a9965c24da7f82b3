"""Which profiles are there? The setting `balancing.profile` names one by dotted path.

All of them respect the same limits and health. They differ only in which of the endpoints that may
serve a job gets it. An operator's own profile is a `Profile` in any module.
"""

from __future__ import annotations

from balancing.policies.filters import (
    below_limit,
    has_room,
    is_healthy,
    not_ejected,
    not_failing,
    not_slow,
    untried,
    within_bound,
    within_rate_limits,
)
from balancing.policies.pickers import BetterOfTwo, ByWeight, Highest, SmoothWeightedTurns
from balancing.policies.profile import Profile
from balancing.policies.scorers import affinity as cached_prompt
from balancing.policies.scorers import expected_work as early_finish
from balancing.policies.scorers import headroom, home, hot_and_cold, peak_latency, speed
from balancing.policies.scorers import least_connections as fewest_calls

_REQUIRED = (has_room, is_healthy, not_ejected, below_limit, within_rate_limits)
_PREFERRED = (untried, not_failing)

round_robin = Profile(
    name="round_robin",
    required=_REQUIRED,
    preferred=_PREFERRED,
    scorers=(),
    picker=SmoothWeightedTurns(weighted=False),
)

weighted_round_robin = Profile(
    name="weighted_round_robin",
    required=_REQUIRED,
    preferred=_PREFERRED,
    scorers=(),
    picker=SmoothWeightedTurns(),
)

weighted_random = Profile(
    name="weighted_random",
    required=_REQUIRED,
    preferred=_PREFERRED,
    scorers=(),
    picker=ByWeight(),
)

least_connections = Profile(
    name="least_connections",
    required=_REQUIRED,
    preferred=_PREFERRED,
    scorers=((fewest_calls, 1.0),),
    picker=Highest(),
)

power_of_two = Profile(
    name="power_of_two",
    required=_REQUIRED,
    preferred=_PREFERRED,
    scorers=((fewest_calls, 1.0),),
    picker=BetterOfTwo(),
)

adaptive_load = Profile(
    name="adaptive_load",
    required=_REQUIRED,
    preferred=_PREFERRED,
    scorers=((headroom, 0.5), (speed, 0.5)),
    picker=Highest(),
)

peak_ewma = Profile(
    name="peak_ewma",
    required=_REQUIRED,
    preferred=_PREFERRED,
    scorers=((peak_latency, 1.0),),
    picker=Highest(),
)

prequal = Profile(
    name="prequal",
    required=_REQUIRED,
    preferred=_PREFERRED,
    scorers=((hot_and_cold, 1.0),),
    picker=Highest(),
)

session_affinity = Profile(
    name="session_affinity",
    required=_REQUIRED,
    preferred=(*_PREFERRED, within_bound),
    # A job without a key scores 0 for `home` everywhere and goes where the fewest calls run.
    scorers=((home, 1.0), (fewest_calls, 1e-6)),
    picker=Highest(),
)

# The estimate includes what a cached prefix saves, and the crowd that a popular prefix attracts.
# `home` is for prompts that this process has not seen: all processes agree on it without asking.
expected_work = Profile(
    name="expected_work",
    required=(*_REQUIRED, not_slow),
    preferred=_PREFERRED,
    scorers=((early_finish, 1.0), (home, 0.2)),
    picker=Highest(),
)

affinity = Profile(
    name="affinity",
    required=(*_REQUIRED, not_slow),
    preferred=(*_PREFERRED, within_bound),
    scorers=((early_finish, 1.0), (cached_prompt, 0.5), (home, 0.5)),
    picker=Highest(),
)
