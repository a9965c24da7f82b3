"""What operators do to endpoints: who learns of it, and where credentials may go."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.core.exceptions import ValidationError

from balancing import services
from balancing.endpoints import credentials
from balancing.endpoints.registry import known_models
from balancing.models import Endpoint
from balancing.services import Keep
from stores.memory import Memory, kept
from tests.unit.balancing.conftest import HOME


@pytest.fixture
def row(db: None) -> Endpoint:
    return services.register(name="e", base_url="http://e/v1", model_names=["m"])


@pytest.mark.parametrize(
    ("change", "models"),
    [
        (lambda row: services.change(row, {"model_names": ["n"]}), ["n"]),
        (lambda row: services.disable(endpoint_id=row.pk), []),
        (lambda row: services.delete(endpoint_id=row.pk), []),
    ],
)
def test_a_change_is_known_at_once(
    row: Endpoint, change: Callable[[Endpoint], object], models: list[str]
) -> None:
    with kept(Memory()):
        assert known_models() == ["m"]

        change(row)

        assert known_models() == models


class TestMoving:
    @pytest.mark.parametrize(
        "move",
        [
            {"base_url": "https://elsewhere/v1"},
            {"base_url": "http://home/v1"},
            {"base_url": "https://home:444/v1"},
            {"proxy_url": "http://proxy:3128"},
        ],
    )
    def test_a_stored_credential_must_be_given_again(
        self, stored: Endpoint, move: dict[str, str]
    ) -> None:
        with pytest.raises(ValidationError) as refused:
            services.change(stored, move)
        assert "credential" in refused.value.message_dict

        stored.refresh_from_db()
        moved = services.change(stored, move, credential="for the new host")

        assert credentials.decrypt(moved.encrypted_credential) == "for the new host"

    def test_another_path_of_the_host_is_no_move(self, stored: Endpoint) -> None:
        services.change(stored, {"base_url": "https://home:443/v2"})

        assert Endpoint.objects.get().encrypted_credential

    def test_a_variable_must_be_named_again(self, db: None) -> None:
        row = services.register(name="e", api_key_variable="LLM_KEY", **HOME)
        move = {"base_url": "https://elsewhere/v1"}

        with pytest.raises(ValidationError) as refused:
            services.change(row, move)
        assert "api_key_variable" in refused.value.message_dict

        row.refresh_from_db()
        services.change(row, {**move, "api_key_variable": "LLM_KEY"}, restated={"api_key_variable"})
        assert Endpoint.objects.get().base_url == "https://elsewhere/v1"

    def test_taking_it_out_lets_the_endpoint_move(self, stored: Endpoint) -> None:
        moved = services.change(stored, {"base_url": "https://elsewhere/v1"}, credential=None)

        assert moved.encrypted_credential == ""

    def test_one_without_a_credential_moves_freely(self, db: None) -> None:
        row = services.register(name="e", credential=Keep.KEEP, **HOME)

        assert services.change(row, {"base_url": "https://elsewhere/v1"}).pk == row.pk
