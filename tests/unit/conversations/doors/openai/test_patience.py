"""How long a request of `/v1` may take, by its headers and the settings."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import pytest

from conversations.doors.lean.refusals import Refusal
from conversations.doors.lean.wire import Exchange
from conversations.doors.openai.errors import OpenAIErrors
from conversations.doors.openai.patience import early_headers_seconds, timeout_seconds
from llmqueue_project.config_sections import SchedulingConfig, WebConfig

LIMITS = SchedulingConfig(default_timeout_seconds=570, max_timeout_seconds=7200)
RUBBISH = ["abc", "-1", "nan", "inf", "1e3", "1_0", "5s", "0x10", "1" * 400, "1,5", "²"]


async def unused(*_: Any) -> MutableMapping[str, Any]:
    raise AssertionError


def exchange(**headers: str) -> Exchange:
    pairs = [(k.replace("_", "-").encode(), v.encode("latin-1")) for k, v in headers.items()]
    return Exchange({"headers": pairs}, unused, unused, errors=OpenAIErrors())  # type: ignore[arg-type]


def timeout(**headers: str) -> float:
    return timeout_seconds(exchange(**headers), LIMITS)


class TestTimeout:
    def test_the_default_ends_before_the_sdks_give_up(self) -> None:
        """OpenAI's SDKs wait 600 s, then ask again."""
        assert SchedulingConfig().default_timeout_seconds < 600 - 10
        assert timeout() == 570

    @pytest.mark.parametrize(("asked", "seconds"), [("30", 30), ("0.5", 0.5), ("7200", 7200)])
    def test_the_client_asks_for_another(self, asked: str, seconds: float) -> None:
        assert timeout(x_timeout_seconds=asked) == seconds

    @pytest.mark.parametrize("asked", ["0", "7201", "0.0", *RUBBISH])
    def test_what_is_none_is_refused_with_the_headers_name(self, asked: str) -> None:
        with pytest.raises(Refusal) as refused:
            timeout(x_timeout_seconds=asked)

        assert (refused.value.status, refused.value.param) == (400, "X-Timeout-Seconds")
        assert "7200" in refused.value.message

    @pytest.mark.parametrize(
        ("told", "seconds"),
        [
            ("600", 570),
            ("600.0", 570),
            ("20", 570),
            ("620", 590),
            ("1800", 1770),
            ("1e9", 570),
            ("999999999", 7200),
            *[(each, 570) for each in RUBBISH],
        ],
    )
    @pytest.mark.parametrize("name", ["x_stainless_read_timeout", "x_stainless_timeout"])
    def test_an_sdk_that_waits_longer_is_given_more(
        self, name: str, told: str, seconds: float
    ) -> None:
        """Only longer: an SDK's figure is a silence, and who gives up cancels the request."""
        assert timeout(**{name: told}) == seconds

    def test_a_default_above_it_stays(self) -> None:
        limits = SchedulingConfig(default_timeout_seconds=3600)

        assert timeout_seconds(exchange(x_stainless_timeout="900"), limits) == 3600


class TestEarlyHeaders:
    def test_they_are_off_unless_asked_for(self) -> None:
        assert early_headers_seconds(exchange(), WebConfig()) == 0
        assert early_headers_seconds(exchange(), WebConfig(early_headers_seconds=50)) == 50

    @pytest.mark.parametrize(("asked", "seconds"), [("50", 50), ("0", 0), ("0.2", 0.2)])
    def test_the_clients_word_counts(self, asked: str, seconds: float) -> None:
        config = WebConfig(early_headers_seconds=20)

        assert early_headers_seconds(exchange(x_early_headers=asked), config) == seconds

    @pytest.mark.parametrize("asked", ["yes", "86401", *RUBBISH])
    def test_what_is_none_is_refused_with_the_headers_name(self, asked: str) -> None:
        with pytest.raises(Refusal) as refused:
            early_headers_seconds(exchange(x_early_headers=asked), WebConfig())

        assert (refused.value.status, refused.value.param) == (400, "X-Early-Headers")
