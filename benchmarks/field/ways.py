"""In which ways does an endpoint behave badly? Each is bytes on a connection, as seen in the field.

All of them are ways after which a client can still get its whole answer: from this endpoint, or
from another one. A stream that breaks off after its text began is not among them; nobody can mend
it unseen.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

WORDS = 20
TOKEN_SECONDS = 0.01
FIRST_TOKEN_SECONDS = 0.1
LAST_WORD = "end"
OPEN = "Content-Type: text/event-stream"
JSON = "Content-Type: application/json"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request; `mark` is the word that its answer must repeat."""

    fields: dict[str, Any]
    mark: str
    writer: asyncio.StreamWriter

    @property
    def stream(self) -> bool:
        return bool(self.fields.get("stream"))

    @property
    def words(self) -> list[str]:
        return [self.mark, *(f" word{n}" for n in range(WORDS)), f" {LAST_WORD}"]

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self, *headers: str, status: str = "200 OK") -> None:
        """A head whose body ends with the connection."""
        lines = (f"HTTP/1.1 {status}", *headers, "Connection: close", "", "")
        await self.send("\r\n".join(lines).encode())

    async def sized(self, body: bytes, *headers: str, status: str = "200 OK") -> None:
        await self.head(*(headers or (JSON,)), f"Content-Length: {len(body)}", status=status)
        await self.send(body)


Way = Callable[[Asked], Awaitable[None]]
# Whole answers in odd clothes; no answer; and refusals that take an endpoint out for long.
ODD: list[Way] = []
FAILING: list[Way] = []
LASTING: list[Way] = []


def way(function: Way) -> Way:
    ODD.append(function)
    return function


async def well(asked: Asked) -> None:
    """The answer as it should be."""
    if asked.stream:
        await asked.head(OPEN)
        await stream(asked, [event(chunk) for chunk in chunks(asked)])
        return
    await asyncio.sleep(FIRST_TOKEN_SECONDS + WORDS * TOKEN_SECONDS)
    await asked.sized(encoded(whole(asked)))


def usage() -> dict[str, int]:
    return {"prompt_tokens": 12, "completion_tokens": WORDS + 2, "total_tokens": WORDS + 14}


def whole(asked: Asked, **changed: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": "".join(asked.words)}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "fake-model"}
    return {**head, "choices": [choice], "usage": usage(), **changed}


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1}
    return {**head, "model": "fake-model", "choices": [choice], **more}


def chunks(asked: Asked) -> list[dict[str, Any]]:
    said = [chunk({"content": word}) for word in asked.words]
    opening = chunk({"role": "assistant", "content": ""})
    final = {**chunk({}), "choices": [], "usage": usage()}
    return [opening, *said, chunk({}, "stop"), final]


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


def event(value: Any) -> bytes:
    return b"data: " + encoded(value) + b"\n\n"


async def stream(asked: Asked, events: Iterable[bytes], end: bytes = b"data: [DONE]\n\n") -> None:
    """Events at the pace of tokens, then the end."""
    await asyncio.sleep(FIRST_TOKEN_SECONDS)
    for each in events:
        await asked.send(each)
        await asyncio.sleep(TOKEN_SECONDS)
    await asked.send(end)


# ---- good answers in odd clothes --------------------------------------------------------------


@way
async def unlabelled(asked: Asked) -> None:
    await asked.head(*random.choice([(), ("Content-Type: text/plain",), (JSON,)]))
    await stream(asked, map(event, chunks(asked)))


@way
async def other_form(asked: Asked) -> None:
    """A stream where none was asked, a whole answer where a stream was."""
    if asked.stream:
        await asked.sized(encoded(whole(asked)))
        return
    await asked.head(OPEN)
    await stream(asked, map(event, chunks(asked)))


@way
async def odd_line_ends(asked: Asked) -> None:
    end = random.choice([b"\r", b"\r\n", b"\n"])
    await asked.head(OPEN)
    lines = [b"data:" + encoded(each) + end + end for each in chunks(asked)]
    await stream(asked, lines, b"data:[DONE]" + end + end)


@way
async def events_over_lines(asked: Asked) -> None:
    await asked.head(OPEN)
    lines = [json.dumps(each, indent=0).split("\n") for each in chunks(asked)]
    await stream(asked, ["".join(f"data: {x}\n" for x in part).encode() + b"\n" for part in lines])


@way
async def torn(asked: Asked) -> None:
    """Pieces that end in the middle of lines and of characters."""
    text = b"\xef\xbb\xbf" + b"".join(map(event, chunks(asked))) + b"data: [DONE]\n\n"
    await asked.head(OPEN)
    while text:
        size = random.randint(1, 400)
        await asked.send(text[:size])
        text = text[size:]
        await asyncio.sleep(0.002)


@way
async def comments(asked: Asked) -> None:
    await asked.head(OPEN)
    for _ in range(5):
        await asked.send(b": ping\n\n")
        await asyncio.sleep(0.05)
    await stream(asked, [b"event: message\nid: 7\n" + event(each) for each in chunks(asked)])


@way
async def no_terminator(asked: Asked) -> None:
    await asked.head(OPEN)
    await stream(asked, map(event, chunks(asked)), b"")


@way
async def marked(asked: Asked) -> None:
    """A byte order mark and white space around a whole answer."""
    await asked.sized(b"\xef\xbb\xbf\n  " + encoded(whole(asked, stream=asked.stream)) + b"\n\n")


@way
async def dripping(asked: Asked) -> None:
    """White space as a heartbeat, then the whole answer in small pieces."""
    await asked.head(JSON)
    for _ in range(10):
        await asked.send(b" ")
        await asyncio.sleep(0.03)
    text = encoded(whole(asked))
    for start in range(0, len(text), 100):
        await asked.send(text[start : start + 100])
        await asyncio.sleep(0.01)


@way
async def broken_characters(asked: Asked) -> None:
    said = chunks(asked)
    halves = [event(chunk({"content": " \ud83d"})), event(chunk({"content": "\ude00"}))]
    bytes_ = event(chunk({"content": " XY"})).replace(b"XY", b"\xf0\x9f")
    await asked.head(OPEN)
    await stream(asked, [event(said[0]), event(said[1]), *halves, bytes_, *map(event, said[2:])])


@way
async def parts(asked: Asked) -> None:
    said = [chunk({"content": [{"type": "text", "text": word}]}) for word in asked.words]
    await asked.head(OPEN)
    await stream(asked, map(event, [*said, chunk({}, "stop")]))


@way
async def odd_counts(asked: Asked) -> None:
    counts = random.choice([0, 2_000_000_000, -1, None, "12", 1e300])
    told = dict.fromkeys(usage(), counts)
    if asked.stream:
        said = [{**each, "usage": told} for each in chunks(asked)[:-1]]
        await asked.head(OPEN)
        await stream(asked, map(event, said))
        return
    await asked.sized(encoded(whole(asked, usage=told)))


@way
async def chunk_without_choices(asked: Asked) -> None:
    """Azure's first chunk and its late filter chunks."""
    first = {**chunk({}), "choices": [], "model": "", "prompt_filter_results": [], "usage": None}
    late = {**chunk({}), "choices": [{"index": 0, "content_filter_offsets": {}}]}
    *said, final = chunks(asked)
    await asked.head(OPEN)
    await stream(asked, map(event, [first, *said, late, final]))


@way
async def not_a_number(asked: Asked) -> None:
    choice = {**whole(asked)["choices"][0], "logprobs": {"content": [{"logprob": float("nan")}]}}
    await asked.sized(encoded(whole(asked, choices=[choice])))


@way
async def large_headers(asked: Asked) -> None:
    await asked.sized(encoded(whole(asked)), JSON, "X-Trace: " + "t" * 20_000)


@way
async def announces_too_much(asked: Asked) -> None:
    body = encoded(whole(asked))
    await asked.head(JSON, f"Content-Length: {len(body) + 50}")
    await asked.send(body)


@way
async def pings_after_the_end(asked: Asked) -> None:
    await asked.head(OPEN)
    await stream(asked, map(event, chunks(asked)), b"")
    for _ in range(100):
        await asked.send(b": ping\n\n")
        await asyncio.sleep(0.2)


@way
async def large(asked: Asked) -> None:
    """Five megabytes beside the answer."""
    await asked.sized(encoded(whole(asked, system_fingerprint="x" * 5_000_000)))


# ---- no answer, which another endpoint can give -----------------------------------------------


def refuses(status: str, body: Any, *headers: str, ways: list[Way] = FAILING) -> None:
    async def refuse(asked: Asked) -> None:
        data = body if isinstance(body, bytes) else encoded(body)
        await asked.sized(data, JSON, *headers, status=status)

    ways.append(refuse)


QUOTA = {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}
refuses("429 Too Many Requests", QUOTA, ways=LASTING)
refuses("429 Too Many Requests", {"error": "slow down"}, "Retry-After: 1800", ways=LASTING)
refuses("429 Too Many Requests", b"", "Retry-After: 1")
refuses("500 Internal Server Error", b"<html>oops</html>")
refuses("502 Bad Gateway", b"")
refuses("503 Service Unavailable", {"error": {"message": "Loading model"}}, "Retry-After: 2")
refuses("401 Unauthorized", {"error": "bad key"})
refuses("404 Not Found", {"detail": "Not Found"})
refuses("529 Overloaded", {"type": "error", "error": {"type": "overloaded_error"}})
refuses("302 Found", b"", "Location: http://127.0.0.1:9/")
# Errors inside a success, and successes without an answer.
refuses("200 OK", {"object": "error", "message": "worker died", "code": 50001})
refuses("200 OK", {"base_resp": {"status_code": 1002, "status_msg": "rate limit"}})
refuses("200 OK", {"error": {"message": "internal", "code": 500}})
refuses("200 OK", {"id": "1", "object": "chat.completion", "choices": None})
refuses("200 OK", {"id": "1", "object": "chat.completion", "choices": []})
refuses("200 OK", {"choices": [{"index": 0, "message": None, "finish_reason": None}]})
refuses("200 OK", b"")
refuses("200 OK", b"<html>sign in</html>")
refuses("200 OK", [1, 2, 3])
refuses("200 OK", b"data: [DONE]\n\n")
refuses("200 OK", b": ping\n\n: ping\n\n")
refuses("200 OK", b'data: {"error": {"message": "boom", "type": "server_error"}}\n\n')
refuses("200 OK", b"data: " + encoded(chunk({"role": "assistant", "content": ""})) + b"\n\n")
refuses("200 OK", b'data: {"id":"1","objdata: {"choices":[]}\n\n')


@way
async def refuses_stream_options(asked: Asked) -> None:
    if "stream_options" not in asked.fields:
        await well(asked)
        return
    detail = [{"loc": ["body", "stream_options"], "msg": "Extra inputs are not permitted"}]
    body = encoded({"detail": detail})
    await asked.sized(body, JSON, status="422 Unprocessable Entity")


async def hangs_up(asked: Asked) -> None:
    """Without a byte, or after a role."""
    if random.random() < 0.5:
        await asked.head(OPEN)
        await asked.send(event(chunk({"role": "assistant", "content": ""})))


async def bad_chunk_size(asked: Asked) -> None:
    await asked.head(OPEN, "Transfer-Encoding: chunked")
    await asked.send(b"zz\r\nrubbish\r\n")
    await asyncio.sleep(5)


FAILING += [hangs_up, bad_chunk_size]
