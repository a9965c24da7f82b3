"""ASGI by hand: bodies with a limit, answers, hang-ups."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import orjson
import pytest

from conversations.doors.lean import wire
from conversations.doors.lean.errors import ApiError, of_end
from conversations.doors.lean.wire import HungUp


class Client:
    """Sends a body in parts, then hangs up."""

    def __init__(self, *parts: bytes, hangs_up_early: bool = False) -> None:
        kinds = {"type": "http.request"}
        self.messages: list[MutableMapping[str, Any]] = [
            {**kinds, "body": part, "more_body": place < len(parts) - 1 or hangs_up_early}
            for place, part in enumerate(parts)
        ]
        self.received: list[MutableMapping[str, Any]] = []

    async def receive(self) -> MutableMapping[str, Any]:
        return self.messages.pop(0) if self.messages else {"type": "http.disconnect"}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        self.received.append(message)


@pytest.mark.parametrize("parts", [(b"",), (b"abcdef",), (b"abc", b"def"), (b"abc", b"", b"def")])
async def test_a_body_within_the_limit(parts: tuple[bytes, ...]) -> None:
    client = Client(*parts)

    assert await wire.read_body({}, client.receive, 6) == b"".join(parts)


async def test_a_message_without_body_is_empty() -> None:
    client = Client()
    client.messages = [{"type": "http.request"}]

    assert await wire.read_body({}, client.receive, 6) == b""


@pytest.mark.parametrize("parts", [(b"abcdefg",), (b"abcd", b"efg"), (b"a" * 100, b"b" * 100)])
async def test_a_larger_one_is_read_to_its_end_and_refused(parts: tuple[bytes, ...]) -> None:
    client = Client(*parts)

    with pytest.raises(ApiError) as caught:
        await wire.read_body({}, client.receive, 6)

    assert (caught.value.status, caught.value.code) == (413, "body_too_large")
    assert client.messages == [], "a client still sending would not see the answer"


async def test_nobody_is_read_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MOST_DISCARDED", 50)
    client = Client(*[b"x" * 10] * 100)

    with pytest.raises(ApiError):
        await wire.read_body({}, client.receive, 6)

    assert len(client.messages) > 90


async def test_a_client_that_goes_away_while_sending() -> None:
    client = Client(b"abc", hangs_up_early=True)

    with pytest.raises(HungUp):
        await wire.read_body({}, client.receive, 6)


def test_a_header_is_found_by_its_lower_case_name() -> None:
    scope = {"headers": [(b"x-a", b"1"), (b"x-b", b"caf\xe9"), (b"x-a", b"2")]}

    assert wire.header(scope, "x-a") == "1"
    assert wire.header(scope, "x-b") == "café"
    assert wire.header(scope, "x-c") == ""


async def test_a_whole_answer() -> None:
    client = Client()

    await wire.answer(client.send, 200, b"{}", [("x-a", "1"), ("x-b", "日")])

    start, body = client.received
    assert start["status"] == 200
    assert dict(start["headers"]) == {
        b"content-type": b"application/json",
        b"content-length": b"2",
        b"x-a": b"1",
        b"x-b": b"?",
    }
    assert (body["body"], body["more_body"]) == (b"{}", False)


@pytest.mark.parametrize(
    ("error", "kind", "headers"),
    [
        (ApiError(401, "c", "m"), "authentication_error", {b"x-should-retry": b"false"}),
        (ApiError(403, "c", "m"), "permission_error", {b"x-should-retry": b"false"}),
        (ApiError(408, "c", "m"), "server_error", {b"x-should-retry": b"false"}),
        (ApiError(400, "c", "m"), "invalid_request_error", {b"x-should-retry": b"false"}),
        (
            ApiError(429, "c", "m", retry_after_seconds=1.5),
            "rate_limit_error",
            {b"retry-after": b"2", b"retry-after-ms": b"1500"},
        ),
        (
            ApiError(503, "c", "m", retry_after_seconds=0.0),
            "server_error",
            {b"retry-after": b"1", b"retry-after-ms": b"1"},
        ),
    ],
)
async def test_a_refusal_is_openais(
    error: ApiError, kind: str, headers: dict[bytes, bytes]
) -> None:
    client = Client()

    await wire.refuse(client.send, error)

    start, body = client.received
    assert start["status"] == error.status
    assert orjson.loads(body["body"]) == {
        "error": {"message": "m", "type": kind, "param": None, "code": "c"}
    }
    assert headers.items() <= dict(start["headers"]).items()


@pytest.mark.parametrize(
    ("end", "status", "code"),
    [
        ({"status": "timeout", "code": "timeout"}, 408, "timeout"),
        ({"status": "cancelled", "code": "cancelled"}, 409, "cancelled"),
        ({"status": "failed", "code": "http_503", "http_status": 0}, 502, "http_503"),
        ({"status": "failed", "code": "refused", "http_status": 422}, 422, "refused"),
        ({"status": "failed"}, 502, "failed"),
    ],
)
def test_the_refusal_that_a_jobs_end_amounts_to(
    end: dict[str, Any], status: int, code: str
) -> None:
    error = of_end(end)

    assert (error.status, error.code) == (status, code)
    assert orjson.loads(error.body())["error"]["code"] == code


def test_an_endpoints_own_refusal_is_passed_on() -> None:
    error = of_end({"status": "failed", "http_status": 422, "upstream": '{"error":{"x":1}}'})

    assert error.body() == b'{"error":{"x":1}}'


class TestUnlessHungUp:
    async def test_the_work_is_done(self) -> None:
        done = asyncio.Event()

        async def work() -> None:
            done.set()

        await wire.unless_hung_up(asyncio.Event().wait, work())  # type: ignore[arg-type]

        assert done.is_set()

    async def test_a_hang_up_ends_it(self) -> None:
        ended = asyncio.Event()

        async def work() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        with pytest.raises(HungUp):
            await wire.unless_hung_up(Client().receive, work())

        assert ended.is_set()

    async def test_its_error_is_the_callers(self) -> None:
        async def work() -> None:
            raise KeyError("x")

        with pytest.raises(KeyError):
            await wire.unless_hung_up(asyncio.Event().wait, work())  # type: ignore[arg-type]
