"""How long will an answer be? Learned from the answers that a flow got from a model before.

A running mean with a window: plain average while young, exponentially weighted once `WINDOW`
answers are in. Fairness wants the mean and no quantile: what it settles later is the sum of the
errors, and only the mean makes that sum grow slowly (`policies/fairness.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

WINDOW = 200


@dataclass(frozen=True, slots=True)
class Estimate:
    """Mean output tokens of `samples` answers; `samples` counts all of them, ever."""

    mean: float = 0.0
    samples: int = 0

    def learn(self, lengths: Sequence[int]) -> Estimate:
        """With further answers, as a group: `sql/finish.sql` does the same."""
        if not lengths:
            return self
        seen = self.samples + len(lengths)
        share = min(1.0, len(lengths) / min(seen, WINDOW))
        mean = self.mean + share * (sum(lengths) / len(lengths) - self.mean)
        return Estimate(mean, seen)


def pooled(estimates: Iterable[Estimate]) -> Estimate:
    """What several flows' answers say of their common model; each counts for `WINDOW` at most."""
    known = [(each.mean, min(each.samples, WINDOW)) for each in estimates if each.samples]
    total = sum(samples for _, samples in known)
    if not total:
        return Estimate()
    return Estimate(sum(mean * samples for mean, samples in known) / total, total)


def expected_output(
    *,
    own: Estimate | None,
    model: Estimate | None,
    default: float,
    max_tokens: int | None,
    prior: int,
) -> float:
    """Expected output tokens of a flow's next job.

    The flow's own mean, for its first answers mixed with the model's as if that were `prior`
    answers of its own; the default where nothing is known; never above what the request allows.
    """
    ground = model.mean if model is not None and model.samples else default
    mean = ground
    if own is not None and own.samples:
        mean = (own.mean * own.samples + ground * prior) / (own.samples + prior)
    return min(mean, max_tokens) if max_tokens else mean
