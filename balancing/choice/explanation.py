"""Why was this endpoint chosen and no other? The record that each attempt keeps."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from balancing.policies.profile import Choice, Profile
from balancing.policies.situation import Situation
from balancing.policies.snapshot import EndpointSnapshot, Wanted


def explain(
    profile: Profile,
    choice: Choice,
    endpoints: Iterable[EndpointSnapshot],
    wanted: Wanted,
    *,
    now: float,
) -> dict[str, Any]:
    """The profile, the candidates' scores, and which filter refused each other endpoint."""
    why: dict[str, Any] = {"profile": profile.name, "scores": choice.scores}
    serving = [e for e in endpoints if wanted.model in e.model_names]
    if len(choice.scores) < len(serving):
        situation = Situation(wanted, now, serving)
        refused = {
            endpoint.name: _refusal(profile, endpoint, situation)
            for endpoint in serving
            if endpoint.name not in choice.scores
        }
        why["refused"] = refused
    return why


def _refusal(profile: Profile, endpoint: EndpointSnapshot, situation: Situation) -> str:
    # `has_room` comes last: why no slot was reserved says more than that none was.
    named = [(_name(f), f) for f in (*profile.required, *profile.preferred)]
    named.sort(key=lambda pair: pair[0] == "has_room")
    for name, passes in named:
        if not passes(endpoint, situation):
            return name
    return "serves_kind"


def _name(filter_: Any) -> str:
    name: str = getattr(filter_, "__name__", "") or type(filter_).__name__
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


WORDS: Mapping[str, str] = {
    "has_room": "no free slot",
    "below_limit": "at its limit",
    "is_healthy": "unhealthy",
    "not_ejected": "ejected",
    "not_failing": "failed a moment ago",
    "not_slow": "too slow",
    "untried": "failed this request",
    "within_bound": "above its share",
    "within_rate_limits": "at its rate limit",
    "serves_kind": "not that kind of request",
}


def in_words(why: Any) -> list[str]:
    """A stored record as lines of text for operators."""
    if not isinstance(why, dict):
        return []
    lines = [f"profile {why.get('profile', '?')}"]
    scores: dict[str, Any] = why.get("scores") or {}
    lines += [f"{name}: score {score}" for name, score in _best_first(scores)]
    refused: dict[str, str] = why.get("refused") or {}
    lines += [f"{name}: {WORDS.get(reason, reason)}" for name, reason in sorted(refused.items())]
    for name, text in (
        ("model", "served by the fallback model {}"),
        ("failover", "after a failure at {}"),
        ("hedge", "hedge of the call at {}"),
        ("hedged", "a hedge was sent to {}"),
        ("trial", "on trial after its ejection"),
    ):
        if why.get(name):
            lines.append(text.format(why[name]))
    return lines


def _best_first(scores: dict[str, Any]) -> list[tuple[str, Any]]:
    return sorted(scores.items(), key=lambda pair: (-float(pair[1]), pair[0]))
