"""The OpenAI SDK in front, an endpoint that answers as some really do behind."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from typing import Any

import openai
import orjson
import pytest
from openai import OpenAI

from llmqueue_project.embedded.services import Services
from tests.client import KEY
from tests.stack import Stack, running_stack

ASK: list[Any] = [{"role": "user", "content": "say something"}]


def delta(**fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": None}]}


def events(*chunks: Any, line_end: bytes = b"\n", done: bytes = b"data: [DONE]\n\n") -> bytes:
    frames = [b"data: " + orjson.dumps(chunk) + line_end * 2 for chunk in chunks]
    return b"".join(frames) + done


STOP = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
CALLS = [
    {"index": 0, "id": name, "type": "function", "function": {"name": name, "arguments": "{}"}}
    for name in ("f", "g")
]
MESSAGE = {"role": "assistant", "content": "hi"}
WHOLE = {"choices": [{"index": 0, "message": MESSAGE, "finish_reason": "stop"}]}
VECTOR = [round(n / 7, 9) for n in range(1500)]
# Model -> content type and body.
ANSWERS: dict[str, tuple[str, bytes]] = {
    "unlabelled": ("", events(delta(content="hi"), STOP)),
    "carriage": ("text/plain", events(delta(content="hi"), STOP, line_end=b"\r")),
    "whole": ("application/json", orjson.dumps(WHOLE)),
    "legacy": (
        "application/json",
        orjson.dumps({"choices": [{"index": 0, "text": "hi", "finish_reason": "stop"}]}),
    ),
    "halves": (
        "text/event-stream",
        b'data: {"choices":[{"index":0,"delta":{"content":"\\ud83d"}}]}\n\n'
        b'data: {"choices":[{"index":0,"delta":{"content":"\\ude00"}}]}\n\n' + events(STOP),
    ),
    "calls": ("", events(*(delta(tool_calls=[call]) for call in CALLS), STOP)),
    "zeros": (
        "application/json",
        orjson.dumps({**WHOLE, "usage": {"prompt_tokens": 0, "completion_tokens": 0}}),
    ),
    "nothing": ("application/json", b'{"choices": null}'),
    "error": ("application/json", b'{"object":"error","message":"no","code":400}'),
    "brotli": ("application/json\r\nContent-Encoding: br", b"\x0b\x02\x80{}\x03"),
    "vectors": (
        "application/json",
        orjson.dumps(
            {"object": "list", "data": [{"index": n, "embedding": VECTOR} for n in range(150)]}
        ),
    ),
}


class Endpoint(socketserver.StreamRequestHandler):
    """Answers by the model that is asked for."""

    calls: list[str] = []

    def handle(self) -> None:
        size = 0
        while (line := self.rfile.readline()).strip():
            if line.lower().startswith(b"content-length:"):
                size = int(line.split(b":")[1])
        if not size:
            return
        model = orjson.loads(self.rfile.read(size))["model"]
        self.calls.append(model)
        label, body = ANSWERS[model]
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
        head += f"Content-Type: {label}\r\n\r\n" if label else "\r\n"
        self.wfile.write(head.encode() + body)


@pytest.fixture(scope="module")
def stack(services: Services) -> Iterator[Stack]:
    with (
        socketserver.ThreadingTCPServer(("127.0.0.1", 0), Endpoint) as server,
        running_stack(services, gear="direct") as running,
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        apis = ["chat", "completion", "embedding"]
        running.register("odd", url, models=list(ANSWERS), apis=apis)
        yield running
        server.shutdown()


@pytest.fixture
def client(stack: Stack) -> OpenAI:
    return OpenAI(base_url=f"{stack.url}/v1", api_key=KEY, max_retries=0, timeout=30)


@pytest.mark.parametrize("model", ["unlabelled", "carriage", "whole", "halves"])
def test_clients_get_what_they_asked_for(client: OpenAI, model: str) -> None:
    """A9, A10, A11, A13"""
    chunks: list[Any] = list(client.chat.completions.create(model=model, messages=ASK, stream=True))
    whole = client.chat.completions.create(model=model, messages=ASK)

    expected = "\U0001f600" if model == "halves" else "hi"
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == expected
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert {chunk.object for chunk in chunks} <= {"chat.completion.chunk", None}
    assert (whole.choices[0].message.content, whole.choices[0].finish_reason) == (expected, "stop")


def test_a_streamed_completion(client: OpenAI) -> None:
    """X13"""
    chunks: list[Any] = list(
        client.completions.create(model="legacy", prompt="say something", stream=True)
    )

    assert "".join(chunk.choices[0].text for chunk in chunks) == "hi"
    assert {chunk.object for chunk in chunks} == {"text_completion"}


def test_parallel_tool_calls_are_stored_apart(client: OpenAI) -> None:
    """A7"""
    answer = client.chat.completions.create(model="calls", messages=ASK)

    calls: Any = answer.choices[0].message.tool_calls
    assert [(call.id, call.function.arguments) for call in calls] == [("f", "{}"), ("g", "{}")]


def test_what_was_not_counted_is_estimated(client: OpenAI, stack: Stack) -> None:
    """A26"""
    client.chat.completions.create(model="zeros", messages=ASK)

    ((estimated, counted),) = stack.rows(
        "select spent_estimated, prompt_tokens from scheduling_job where model = 'zeros'"
    )
    assert (estimated, counted) == (True, None)


@pytest.mark.parametrize(
    ("model", "code", "calls"),
    [
        ("nothing", "empty_answer", 3),
        ("error", "endpoint_error", 3),
        ("brotli", "content_encoding", 1),
    ],
)
def test_no_answer_is_no_success(
    client: OpenAI, stack: Stack, model: str, code: str, calls: int
) -> None:
    """A4, X15"""
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model=model, messages=ASK)

    assert caught.value.status_code == 502
    assert caught.value.code == code
    assert Endpoint.calls.count(model) == calls
    statuses = stack.rows("select status from scheduling_job where model = %s", model)
    assert statuses == [("failed",)]


def test_a_large_answer(client: OpenAI) -> None:
    """X6"""
    answer = client.embeddings.create(model="vectors", input="x", encoding_format="float")

    assert len(answer.data) == 150
    assert answer.data[149].embedding == VECTOR
