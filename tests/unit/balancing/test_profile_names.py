"""Profiles by name: those of the allowed modules, and nothing else."""

from __future__ import annotations

import pytest

from balancing.policies.profiles import expected_work
from balancing.profile_names import UnknownProfile, names, resolve


@pytest.mark.parametrize("name", ["expected_work", "balancing.policies.profiles.expected_work"])
def test_by_name_or_path(name: str) -> None:
    assert resolve(name) is expected_work


@pytest.mark.parametrize(
    "name",
    ["", ".", "os.system", "Profile", "no_such", "a b", "expected_work\n", "__builtins__"],
)
def test_nothing_else(name: str) -> None:
    with pytest.raises(UnknownProfile):
        resolve(name)


def test_they_are_listed() -> None:
    assert {"expected_work", "round_robin", "session_affinity"} <= set(names())
