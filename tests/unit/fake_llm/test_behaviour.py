"""Control fields and prompt directives."""

import pytest

from tests.fake_llm.behaviour import Behaviour, directives, without_directives


def test_fields_take_the_type_of_their_default() -> None:
    behaviour = Behaviour().with_fields({"tokens": "7", "models": "a, b", "echo": "true"})

    assert behaviour.tokens == 7
    assert behaviour.models == ("a", "b")
    assert behaviour.echo is True


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(ValueError, match="tokenz"):
        Behaviour().with_fields({"tokenz": 1})


def test_directives_override_one_request() -> None:
    wanted = directives("hello [[tokens=50 tps=20 first=0.2 break_after=5 echo]]")

    behaviour = wanted.apply(Behaviour(), attempt=1)

    assert (behaviour.tokens, behaviour.tokens_per_second) == (50, 20.0)
    assert (behaviour.first_token, behaviour.break_after, behaviour.echo) == (0.2, 5, True)


def test_a_status_directive_always_fails() -> None:
    behaviour = directives("[[status=503]]").apply(Behaviour(), attempt=4)

    assert (behaviour.fail_rate, behaviour.status) == (1.0, 503)


def test_times_limits_the_directives_to_the_first_attempts() -> None:
    wanted = directives("[[status=503 times=2]]")

    rates = [wanted.apply(Behaviour(), attempt=n).fail_rate for n in (1, 2, 3)]

    assert rates == [1.0, 1.0, 0.0]


def test_directives_are_not_part_of_the_text() -> None:
    assert without_directives("say [[echo]] this") == "say  this"
