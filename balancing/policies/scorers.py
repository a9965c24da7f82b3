"""How good is this endpoint for this job? One pure function a criterion, in [0, 1]."""

from __future__ import annotations

from balancing.policies.snapshot import EndpointSnapshot, Wanted


def least_connections(endpoint: EndpointSnapshot, wanted: Wanted, now: float) -> float:
    """1 when idle, towards 0 as calls per weight grow."""
    del wanted, now
    return 1.0 / (1.0 + endpoint.in_use / max(endpoint.weight, 1e-9))
