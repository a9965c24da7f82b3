"""The metrics of balancing. docs/operations.md documents names and labels."""

from __future__ import annotations

from prometheus_client import Counter

ejections = Counter("llmqueue_ejections", "Times an endpoint was ejected for failing", ["endpoint"])
hedges = Counter("llmqueue_hedges", "Second calls, by what came of them", ["endpoint", "outcome"])
probes = Counter("llmqueue_probes", "Health probes, by outcome", ["endpoint", "outcome"])
