"""Fixtures of the integration tests."""

from tests.integration.lean_door import lean  # noqa: F401 - a fixture
