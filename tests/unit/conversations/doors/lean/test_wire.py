"""ASGI by hand: bodies with a limit, answers, hang-ups."""

from __future__ import annotations

import asyncio
import gzip
import time
import zlib
from collections.abc import Iterable, MutableMapping
from typing import Any

import pytest

from conversations.doors.lean import encodings, wire
from conversations.doors.lean.refusals import Refusal
from conversations.doors.lean.wire import Exchange, HungUp, Receive, Send


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

    @property
    def exchange(self) -> Exchange:
        return exchange(self.receive, self.send)


class Words:
    """Refusals in an API's words that the test can tell apart."""

    def body(self, refusal: Refusal) -> bytes:
        return f"body {refusal.code}".encode()

    def event(self, refusal: Refusal) -> bytes:
        return f"event {refusal.code}".encode()


async def for_ever() -> MutableMapping[str, Any]:
    """A client that sends nothing and stays."""
    await asyncio.Event().wait()
    raise AssertionError


async def nowhere(_message: MutableMapping[str, Any]) -> None:
    raise AssertionError("nothing is sent")


def exchange(
    receive: Receive = for_ever, send: Send = nowhere, headers: Iterable[tuple[bytes, bytes]] = ()
) -> Exchange:
    return Exchange({"headers": headers}, receive, send, errors=Words())


@pytest.mark.parametrize("parts", [(b"",), (b"abcdef",), (b"abc", b"def"), (b"abc", b"", b"def")])
async def test_a_body_within_the_limit(parts: tuple[bytes, ...]) -> None:
    client = Client(*parts)

    assert await client.exchange.read_body(6) == b"".join(parts)


async def test_a_message_without_body_is_empty() -> None:
    client = Client()
    client.messages = [{"type": "http.request"}]

    assert await client.exchange.read_body(6) == b""


@pytest.mark.parametrize("parts", [(b"abcdefg",), (b"abcd", b"efg"), (b"a" * 100, b"b" * 100)])
async def test_a_larger_one_is_read_to_its_end_and_refused(parts: tuple[bytes, ...]) -> None:
    client = Client(*parts)

    with pytest.raises(Refusal) as caught:
        await client.exchange.read_body(6)

    assert (caught.value.status, caught.value.code) == (413, "body_too_large")
    assert "LLMQUEUE_WEB__MAX_BODY_BYTES" in caught.value.message
    assert client.messages == [], "a client still sending would not see the answer"


async def test_nobody_is_read_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MOST_DISCARDED", 50)
    client = Client(*[b"x" * 10] * 100)

    with pytest.raises(Refusal):
        await client.exchange.read_body(6)

    assert len(client.messages) > 90


def compressed(body: bytes, encoding: str) -> Exchange:
    headers = [(b"content-encoding", encoding.encode())]
    return exchange(Client(body[:5], body[5:]).receive, headers=headers)


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (gzip.compress(b"abcdef"), "gzip"),
        (gzip.compress(b"abcdef"), " GZIP "),
        (gzip.compress(b"abc") + gzip.compress(b"def"), "x-gzip"),
        (zlib.compress(b"abcdef"), "deflate"),
        (zlib.compress(b"abcdef", wbits=-15), "deflate"),
        (b"abcdef", "identity"),
    ],
    ids=["gzip", "spaced", "in two parts", "zlib", "raw deflate", "identity"],
)
async def test_a_compressed_body(body: bytes, encoding: str) -> None:
    assert await compressed(body, encoding).read_body(100) == b"abcdef"


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        pytest.param(b"abcdef", "gzip", 400, id="not compressed"),
        pytest.param(b"abcdef", "deflate", 400, id="nor so"),
        pytest.param(gzip.compress(b"abcdef" * 9)[:-9], "gzip", 400, id="cut off"),
        pytest.param(b"abcdef", "br", 415, id="unknown"),
        pytest.param(b"abcdef", "gzip, gzip", 415, id="twice"),
        pytest.param(gzip.compress(b"a" * 101), "gzip", 413, id="larger than the limit"),
        pytest.param(gzip.compress(b"a" * 50) * 3, "gzip", 413, id="larger in its parts"),
    ],
)
async def test_a_compressed_body_that_is_refused(body: bytes, encoding: str, status: int) -> None:
    with pytest.raises(Refusal) as caught:
        await compressed(body, encoding).read_body(100)

    assert caught.value.status == status


async def test_a_client_that_goes_away_while_sending() -> None:
    client = Client(b"abc", hangs_up_early=True)

    with pytest.raises(HungUp):
        await client.exchange.read_body(6)


def test_a_header_is_found_by_its_lower_case_name() -> None:
    sent = exchange(headers=[(b"x-a", b"1"), (b"x-b", b"caf\xe9"), (b"x-a", b"2")])

    assert sent.header("x-a") == "1"
    assert sent.header("x-b") == "café"
    assert sent.header("x-c") == ""


async def test_a_whole_answer() -> None:
    client = Client()

    await client.exchange.answer(200, b"{}", [("x-a", "1"), ("x-b", "日")])

    start, body = client.received
    assert start["status"] == 200
    assert dict(start["headers"]) == {
        b"content-type": b"application/json",
        b"content-length": b"2",
        b"x-a": b"1",
        b"x-b": b"?",
    }
    assert (body["body"], body["more_body"]) == (b"{}", False)


class TestEarlyJson:
    async def test_the_answer_follows_white_space(self) -> None:
        client = Client()
        exchange = client.exchange

        await exchange.start_json([("x-a", "1")])
        await exchange.write(b" ")
        await exchange.answer(200, b"{}", [("x-b", "too late")])

        start, space, body = client.received
        assert (start["status"], dict(start["headers"])[b"x-a"]) == (200, b"1")
        assert b"content-length" not in dict(start["headers"])
        assert (space["body"], space["more_body"]) == (b" ", True)
        assert (body["body"], body["more_body"]) == (b"{}", False)

    async def test_a_refusal_is_the_body_and_no_event(self) -> None:
        client = Client()
        exchange = client.exchange

        await exchange.start_json([])
        await exchange.refuse(Refusal(503, "away", "m"))

        assert client.received[-1]["body"] == b"body away"
        assert not client.received[-1]["more_body"]


class TestRefusals:
    async def test_one_is_an_answer_in_its_doors_words(self) -> None:
        client = Client()

        await client.exchange.refuse(
            Refusal(429, "full", "m", retry_after_seconds=1.5), [("a", "b")]
        )

        start, body = client.received
        assert start["status"] == 429
        assert dict(start["headers"]) == {
            b"content-type": b"application/json",
            b"content-length": b"9",
            b"retry-after": b"2",
            b"retry-after-ms": b"1500",
            b"a": b"b",
        }
        assert (body["body"], body["more_body"]) == (b"body full", False)

    async def test_one_ends_a_stream_that_has_begun(self) -> None:
        client = Client()
        stream = client.exchange
        await stream.start(200, [])
        await stream.write(b"text")

        await stream.refuse(Refusal(502, "lost", "m"))

        assert [message.get("body") for message in client.received] == [
            None,
            b"text",
            b"event lost",
        ]
        assert [message.get("more_body") for message in client.received] == [None, True, False]


class TestUnlessHungUp:
    async def test_the_work_is_done(self) -> None:
        done = asyncio.Event()

        async def work() -> None:
            done.set()

        await exchange().unless_hung_up(work())

        assert done.is_set()

    async def test_a_hang_up_ends_it(self) -> None:
        ended = asyncio.Event()

        async def work() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        with pytest.raises(HungUp):
            await Client().exchange.unless_hung_up(work())

        assert ended.is_set()

    async def test_its_error_is_the_callers(self) -> None:
        async def work() -> None:
            raise KeyError("x")

        with pytest.raises(KeyError):
            await exchange().unless_hung_up(work())


def test_a_body_of_endless_empty_parts_is_refused_at_once() -> None:
    """Each part begins with a copy of all that follow: 50 MB of them would take an hour."""
    body, began = gzip.compress(b"") * 50_000, time.monotonic()

    with pytest.raises(Refusal) as caught:
        encodings.decoded(body, "gzip", 100)

    assert caught.value.status == 400
    assert time.monotonic() - began < 0.5
