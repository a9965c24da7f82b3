"""Answers that are not a 200: whose fault they are, and what is told of them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import orjson
import pytest

from balancing.calls.client import Client
from balancing.endpoints.access import Access
from balancing.errors import Busy, CallError, Refused, Unavailable
from tests.fake_llm import FakeLLM
from tests.unit.balancing.calls.scripted import (
    PATIENT,
    chat,
    events,
    failure,
    failure_of,
    response,
    scripted,
    target,
)


def openai_error(message: str, **more: Any) -> dict[str, Any]:
    return {"message": message, "type": "invalid_request_error", "param": None, "code": None} | more


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"error": {"message": "bad \\ud83d"}}', "bad \ufffd"),
        (b'{"error": {"message": "bad", "x": NaN}}', "bad"),
        (b'\xef\xbb\xbf{"detail": "bad"}', "bad"),
        (b'{"error": {"message": "bad \\"n\\"", "input": "' + b"x" * 100_000 + b'"}}', 'bad "n"'),
        (b'{"object": "error", "message": "' + b"x" * 100_000 + b'"}', "x" * 2000),
    ],
)
async def test_a_refusal_that_is_no_whole_json_keeps_its_text(
    client: Client, body: bytes, told: str
) -> None:
    """X12"""
    error = await failure_of(client, response(body, status="400 Bad Request"))

    assert isinstance(error, Refused)
    assert orjson.loads(error.body)["error"]["message"] == told


@pytest.mark.parametrize(
    "rest", [b"Content-Length: 999\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"]
)
async def test_a_refusal_whose_body_breaks_off_is_one(client: Client, rest: bytes) -> None:
    error = await failure_of(client, b"HTTP/1.1 400 Bad Request\r\n" + rest + b'{"detail": "no"}')

    assert isinstance(error, Refused)


async def test_the_rest_of_a_refusal_is_not_waited_for(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("balancing.calls.client.GRACE_SECONDS", 0.1)
    head = b"HTTP/1.1 429 Busy\r\nRetry-After: 1800\r\nContent-Length: 999\r\n\r\n"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head + b'{"detail": "no"}')
        await reader.read()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        error = await failure(client, target(f"http://127.0.0.1:{port}/v1"), chat())

    assert isinstance(error, Busy)
    assert error.retry_after_seconds == 1800


class TestEchoes:
    """A server that repeats the credential in its refusal."""

    CREDENTIAL = 'sk-"quoted"-0123456789'
    EXTRA = "another-secret"

    @pytest.mark.parametrize("status", ["400 Bad Request", "401 Unauthorized"])
    async def test_the_credential_is_told_to_nobody(
        self, client: Client, monkeypatch: pytest.MonkeyPatch, status: str
    ) -> None:
        monkeypatch.setenv("LLM_ECHO", self.CREDENTIAL)
        body = orjson.dumps({"error": {"message": f"Incorrect API key: {self.CREDENTIAL}."}})

        async with scripted(response(body, status=status)) as (url, requests):
            error = await failure(client, target(url, "LLM_ECHO"), chat())

        assert self.CREDENTIAL.encode() in requests[0]
        assert str(error) == "Incorrect API key: ***."
        assert "0123456789" not in error.body

    @pytest.mark.parametrize("stream", [False, True])
    async def test_not_even_an_error_inside_a_success_tells_it(
        self, client: Client, monkeypatch: pytest.MonkeyPatch, stream: bool
    ) -> None:
        monkeypatch.setenv("LLM_ECHO", self.CREDENTIAL)
        said = f"{self.CREDENTIAL} at 10.0.0.7 and {self.EXTRA} are bad"
        body = {"error": {"message": said, "code": 400, "type": "invalid_request_error"}}
        data = events(body) if stream else response(orjson.dumps(body))

        async with scripted(data) as (url, _):
            access = Access(extra_headers=(("X-Key", self.EXTRA),))
            error = await failure(
                client, replace(target(url, "LLM_ECHO"), access=access), chat(stream=stream)
            )

        assert error.public == "*** at *** and *** are bad"
        assert orjson.loads(error.body)["error"]["message"] == error.public
        assert str(error) == "*** at 10.0.0.7 and *** are bad", "operators see where"

    async def test_a_list_of_models_that_is_refused(
        self, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("LLM_ECHO", self.CREDENTIAL)
        body = orjson.dumps({"error": f"no such key: {self.CREDENTIAL}, {self.EXTRA}"})
        access = Access(extra_headers=(("X-Key", self.EXTRA),))

        async with scripted(response(body, status="403 Forbidden")) as (url, _):
            with pytest.raises(CallError) as caught:
                await client.models(replace(target(url, "LLM_ECHO"), access=access), PATIENT)

        assert str(caught.value) == "no such key: ***, ***"


class TestRefusals:
    @pytest.mark.parametrize("status", [400, 409, 413, 422])
    async def test_the_request_is_at_fault(self, client: Client, status: int) -> None:
        body = {"error": {"message": "too long"}}

        error = await failure_of(client, response(orjson.dumps(body), status=f"{status} No"))

        assert isinstance(error, Refused)
        assert not error.retryable
        assert (error.status, str(error)) == (status, "too long")
        assert orjson.loads(error.body) == {"error": openai_error("too long")}

    @pytest.mark.parametrize("status", [401, 403, 404, 408, 425, 429, 500, 502, 503, 504])
    async def test_the_endpoint_is_at_fault(
        self, client: Client, llm: FakeLLM, status: int
    ) -> None:
        error = await failure(client, target(llm.base_url), chat(f"[[status={status}]]"))

        assert isinstance(error, Unavailable)
        assert error.retryable
        assert (error.code, error.status) == (f"http_{status}", status)
        assert str(error) == "failing on purpose"

    @pytest.mark.parametrize("status", [301, 302, 307, 308])
    async def test_a_redirect_is_refused_and_not_followed(
        self, client: Client, llm: FakeLLM, status: int
    ) -> None:
        moved = response("", status=f"{status} Moved", Location=f"{llm.base_url}/chat/completions")

        error = await failure_of(client, moved)

        assert isinstance(error, Unavailable)
        assert error.code == f"http_{status}"
        assert llm.stats()["requests"] == 0

    async def test_a_page_instead_of_json_is_not_passed_on(self, client: Client) -> None:
        error = await failure_of(client, response("<html>", status="400 Bad", kind="text/html"))

        assert orjson.loads(error.body)["error"] == openai_error("the endpoint answered 400")

    async def test_a_long_refusal_in_several_parts(self, client: Client) -> None:
        body = orjson.dumps({"error": {"message": "m", "detail": "d" * 50_000}})
        data = response(body, status="422 No")

        async with scripted(data[:9_000], data[9_000:]) as (url, _):
            error = await failure(client, target(url), chat())

        assert orjson.loads(error.body)["error"] == openai_error("m"), "what is long is left out"

    @pytest.mark.parametrize(
        ("value", "seconds"),
        [("7", 7), ("999999", 3600), ("soon", 0), ("", 0), ("-3", 0), ("²", 0)],
    )
    async def test_retry_after(self, client: Client, value: str, seconds: float) -> None:
        data = response("{}", status="429 Busy", Retry_After=value)

        error = await failure_of(client, data)

        assert error.retry_after_seconds == seconds

    @pytest.mark.parametrize(("ahead", "seconds"), [(100, 100), (-100, 0), (10**6, 3600)])
    async def test_retry_after_as_a_date(self, client: Client, ahead: int, seconds: float) -> None:
        date = format_datetime(datetime.now(UTC) + timedelta(seconds=ahead), usegmt=True)

        error = await failure_of(client, response("{}", status="503 No", Retry_After=date))

        assert error.retry_after_seconds == pytest.approx(seconds, abs=5)

    @pytest.mark.parametrize("stream", [False, True])
    async def test_an_error_object_with_status_200(self, client: Client, stream: bool) -> None:
        body = {"error": {"message": "out of memory"}}
        data = events(body) if stream else response(orjson.dumps(body))

        error = await failure_of(client, data, stream=stream)

        assert isinstance(error, Unavailable)
        assert (error.code, str(error)) == ("endpoint_error", "out of memory")
