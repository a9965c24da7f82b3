"""May this endpoint serve this job at all? One pure function a question."""

from __future__ import annotations

from balancing.policies.snapshot import EndpointSnapshot, Wanted


def serves_model(endpoint: EndpointSnapshot, wanted: Wanted, now: float) -> bool:
    del now
    return wanted.model in endpoint.model_names


def has_room(endpoint: EndpointSnapshot, wanted: Wanted, now: float) -> bool:
    del wanted, now
    return endpoint.free > 0


def untried(endpoint: EndpointSnapshot, wanted: Wanted, now: float) -> bool:
    del now
    return endpoint.id not in wanted.tried


def not_failing(endpoint: EndpointSnapshot, wanted: Wanted, now: float) -> bool:
    del wanted
    return endpoint.failing_until <= now
