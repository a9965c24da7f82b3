"""What attempts are charged."""

from __future__ import annotations

from balancing.calls.answer import Answer
from balancing.endpoints.registry import Target
from balancing.prices import Price
from scheduling.spending import NOTHING, Spent, of_answer, of_failure

PRICES = {"m": Price(input=1.0, output=2.0, cached_input=0.5)}
TARGET = Target(1, "e", "http://e", frozenset("m"), "", 1.0, 1, "enabled", prices=PRICES)


def test_reported_usage_is_charged_as_reported() -> None:
    answer = Answer(prompt_tokens=100, completion_tokens=10, cached_tokens=40)

    assert of_answer(TARGET, "m", "x" * 9, answer) == Spent(100, 10, 60 + 20 + 20, False)


def test_what_was_not_reported_is_estimated_and_said_to_be() -> None:
    streamed = Answer(text="ignored", completion_tokens=7)
    whole = Answer(text="12345")

    assert of_answer(TARGET, "m", "x" * 9, streamed) == Spent(3, 7, 3 + 14, True)
    assert of_answer(TARGET, "m", "x" * 9, whole) == Spent(3, 2, 3 + 4, True)


def test_embeddings_have_no_output() -> None:
    assert of_answer(TARGET, "m", "", Answer(prompt_tokens=8)) == Spent(8, 0, 8, False)


def test_without_a_price_the_tokens_are_known_and_the_cost_is_not() -> None:
    answer = Answer(prompt_tokens=100, completion_tokens=10)

    assert of_answer(TARGET, "other", "", answer) == Spent(100, 10, None, False)


def test_a_failure_is_charged_from_its_first_piece_on() -> None:
    assert of_failure(TARGET, "m", "x" * 8, pieces=0) == NOTHING
    assert of_failure(TARGET, "m", "x" * 8, pieces=5) == Spent(2, 5, 2 + 10, True)
