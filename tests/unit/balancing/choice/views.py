"""Endpoints and the worker's view of them, for the tests of this folder."""

from __future__ import annotations

from balancing.choice.endpoint_view import EndpointView
from balancing.endpoints.target import Target
from balancing.live.state import Live

NOW = 1_000_000.0


def target(number: int, *models: str, state: str = "enabled", slots: int = 4) -> Target:
    served = frozenset(models or ("m",))
    return Target(number, f"e{number}", "http://e", served, "", 1.0, slots, state)


def view(*targets: Target, **live: Live) -> EndpointView:
    made = EndpointView()
    made.update_targets(targets)
    made.update_live(NOW, {int(name[1:]): state for name, state in live.items()})
    return made
