"""A web process's memory of learned lengths, without a database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from llmqueue_project.config import configuration
from scheduling.policies.estimates import WINDOW
from scheduling.submit.estimates import OVERLAP, Estimates

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DEFAULT = configuration().scheduling.default_output_tokens


def test_nothing_learned_is_the_default_below_the_requests_limit() -> None:
    estimates = Estimates()

    assert estimates.output_tokens(flow_id=1, model="m") == DEFAULT
    assert estimates.output_tokens(flow_id=1, model="m", max_tokens=5) == 5
    assert estimates.cost("x" * 400, flow_id=1, model="m") == 100 + 2 * DEFAULT


def test_a_flow_has_its_own_and_others_the_models() -> None:
    estimates = Estimates()

    estimates.update([(1, "m", 20.0, WINDOW, NOW), (2, "m", 40.0, WINDOW, NOW)])

    assert estimates.output_tokens(flow_id=1, model="m") == 20
    assert estimates.output_tokens(flow_id=3, model="m") == 30
    assert estimates.output_tokens(flow_id=1, model="other") == DEFAULT


def test_what_changed_is_read_with_an_overlap_and_replaces_what_was_known() -> None:
    estimates = Estimates()
    estimates.update([(1, "m", 20.0, WINDOW, NOW), (2, "m", 40.0, WINDOW, NOW)])

    estimates.update([(2, "m", 60.0, 2 * WINDOW, NOW + timedelta(seconds=60))])
    estimates.update([])

    assert estimates.output_tokens(flow_id=2, model="m") == 60
    assert estimates.output_tokens(flow_id=3, model="m") == 40
    assert estimates.parameters["since"] == NOW + timedelta(seconds=60) - OVERLAP


def test_it_is_due_until_read() -> None:
    estimates = Estimates()
    assert estimates.is_due

    estimates.update([])

    assert not estimates.is_due
