"""The metrics of scheduling; docs/operations.md explains their names and labels."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

from scheduling.models import Priority
from scheduling.spending import Spent

LEVEL_NAMES = {int(level): level.queue for level in Priority}
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)

wait_seconds = Histogram(
    "llmqueue_wait_seconds", "From submit to the start of the attempt", ["level"], buckets=_SECONDS
)
jobs = Counter("llmqueue_jobs", "Jobs that ended, by outcome", ["level", "outcome"])
attempts = Counter("llmqueue_attempts", "Attempts that ended, by outcome", ["endpoint", "outcome"])
tokens = Counter("llmqueue_tokens", "Tokens of completed jobs", ["direction"])
retries = Counter(
    "llmqueue_retries",
    "Retries decided: within the endpoint's budget, or put off",
    ["endpoint", "budget"],
)
first_token_seconds = Histogram(
    "llmqueue_first_token_seconds", "From submit to the first token", ["level"], buckets=_SECONDS
)
cost = Counter(
    "llmqueue_cost",
    "Money spent, in the setting `currency`, at known prices",
    ["model", "endpoint"],
)
model_tokens = Counter(
    "llmqueue_model_tokens",
    "Tokens used by all attempts, estimated where not reported",
    ["model", "endpoint", "direction"],
)


def count_spent(model: str, endpoint: str, spent: Spent) -> None:
    """Count what an attempt used. Operators name models and endpoints, so there are few series."""
    if spent.micros:
        cost.labels(model, endpoint).inc(spent.micros / 1e6)
    if spent.prompt_tokens or spent.completion_tokens:
        model_tokens.labels(model, endpoint, "input").inc(spent.prompt_tokens)
        model_tokens.labels(model, endpoint, "output").inc(spent.completion_tokens)
