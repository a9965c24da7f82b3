"""The named profiles; setting `balancing.profile` is the dotted path of one."""

from __future__ import annotations

from balancing.policies.filters import has_room, not_failing, serves_model, untried
from balancing.policies.pickers import Highest, SmoothWeightedTurns
from balancing.policies.profile import Profile
from balancing.policies.scorers import least_connections as fewest_calls

_REQUIRED = (serves_model, has_room)
_PREFERRED = (untried, not_failing)

least_connections = Profile(
    name="least_connections",
    required=_REQUIRED,
    preferred=_PREFERRED,
    scorers=((fewest_calls, 1.0),),
    picker=Highest(),
)

weighted_round_robin = Profile(
    name="weighted_round_robin",
    required=_REQUIRED,
    preferred=_PREFERRED,
    scorers=(),
    picker=SmoothWeightedTurns(),
)
