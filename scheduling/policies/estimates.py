"""How long will an answer be? Learned from the answers that a flow got from a model before.

A running mean with a window: plain average while young, exponentially weighted once `WINDOW`
answers are in. Fairness wants the mean and no quantile: what it settles later is the sum of the
errors, and only the mean makes that sum grow slowly (`policies/fairness.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

WINDOW = 100


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


def averaged(estimates: Iterable[Estimate]) -> Estimate:
    """What several flows' answers say of their common model; each counts for `WINDOW` at most."""
    known = [(each.mean, min(each.samples, WINDOW)) for each in estimates if each.samples]
    total = sum(samples for _, samples in known)
    if not total:
        return Estimate()
    return Estimate(sum(mean * samples for mean, samples in known) / total, total)


def expected_output(
    *, own: Estimate | None, model: Estimate | None, default: float, max_tokens: int | None = None
) -> float:
    """Expected output tokens of a flow's next job, never above what the request allows.

    Args:
        own: of the flow and the model; where it has no samples the model's counts, then `default`.
    """
    known = next((each.mean for each in (own, model) if each and each.samples), default)
    return min(known, max_tokens) if max_tokens else known
