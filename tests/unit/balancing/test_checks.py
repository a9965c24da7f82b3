"""System checks of balancing."""

from __future__ import annotations

import pytest
from django.core.checks import Error

from balancing import checks
from balancing.models import ModelPool


@pytest.mark.django_db
def test_a_stored_name_that_is_gone_is_reported() -> None:
    ModelPool.objects.create(pattern="m", profile="gone")

    assert checks.pools_name_profiles(None) == []
    (found,) = checks.pools_name_profiles(None, databases=["default"])
    assert isinstance(found, Error)
    assert "gone" in found.msg
