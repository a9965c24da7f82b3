"""UUIDv7."""

from __future__ import annotations

import time

import pytest

from stores.ids import uuid7


def test_version_and_variant_bits() -> None:
    made = uuid7()

    assert made.version == 7
    assert made.variant == "specified in RFC 4122"


def test_the_head_is_unix_milliseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1_700_000_000_123_999_999)

    assert uuid7().int >> 80 == 1_700_000_000_123


def test_later_milliseconds_sort_later(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    for millisecond in (1, 2, 1_000, 2**47, 2**48 - 1):
        monkeypatch.setattr(time, "time_ns", lambda ms=millisecond: ms * 1_000_000)
        made.append(uuid7())

    assert made == sorted(made)


def test_ids_of_one_millisecond_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 5_000_000)

    made = {uuid7() for _ in range(1000)}

    assert len(made) == 1000
    assert len({identifier.int >> 64 & 0xFFF for identifier in made}) > 500, "12 random bits"
    assert len({identifier.int & (2**62 - 1) for identifier in made}) == 1000, "62 random bits"
