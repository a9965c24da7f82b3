"""How long will an answer be? As long as the answers that the flow got from the model before.

The estimate is a running mean with a window: a plain average of the first `WINDOW` answers, then
exponentially weighted. Fairness needs the mean and no quantile: it settles the sum of the errors
later, and only the mean makes that sum grow slowly (`policies/fairness.py`).
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
    """The mean over several flows of one model; each flow counts for at most `WINDOW` answers."""
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
