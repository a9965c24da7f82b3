"""Whatever a client sends to the OpenAI door: a job that can be stored, or a 4xx error object.

Valid requests are changed at random and sent through the whole lean application; behind it stands a
backend that stores nothing.
"""

from __future__ import annotations

import asyncio
import copy
import gzip
import json
from collections.abc import MutableMapping
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conversations.access.keys import Caller
from conversations.doors.application import lean_application
from conversations.doors.lean.wire import HungUp
from conversations.doors.openai.request import PATHS
from llmqueue_project.config import configuration
from scheduling.models import Api, Priority
from scheduling.specs import JobSpec, parameters
from stores.memory import Memory
from tests.field import examples

TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
VALID: dict[str, dict[str, Any]] = {
    Api.CHAT: {
        "model": "m",
        "messages": [
            {"role": "system", "content": "s"},
            {"role": "user", "content": [{"type": "text", "text": "hi"}], "name": "u"},
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "content": "r", "tool_call_id": "c"},
        ],
        "tools": [TOOL],
        "tool_choice": "auto",
        "stream": False,
        "stream_options": {"include_usage": True},
        "max_tokens": 5,
        "n": 1,
        "stop": ["END"],
        "temperature": 0.5,
        "user": "u",
        "priority": "high",
        "service_tier": "flex",
        "metadata": {"a": "b"},
    },
    Api.COMPLETION: {"model": "m", "prompt": ["a", "b"], "max_tokens": 5, "echo": True},
    Api.EMBEDDING: {"model": "m", "input": [[1, 2], [3]], "dimensions": 3},
}
scalars: st.SearchStrategy[Any] = (
    st.sampled_from([None, "", [], {}, 0, -1, 1, 256.0, "256", True, "true", 2**70, -0.0, " m "])
    | st.floats()
    | st.integers()
    | st.text(st.characters(), max_size=5)
    | st.text(st.sampled_from('\0\ud83d\ude00\\"u'), max_size=4)
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=3) | st.sampled_from(["type", "text"]), inner, max_size=3
        )
    ),
    max_leaves=5,
)


@st.composite
def bodies(draw: st.DrawFn, api: str) -> bytes:
    """A valid request with some of its parts changed, written by some client."""
    fields = copy.deepcopy(VALID[api])
    for _ in range(draw(st.integers(1, 3))):
        _change(draw, fields)
    text = json.dumps(fields, ensure_ascii=draw(st.booleans()))
    raw = text.encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 9)) == 0:
        at = draw(st.integers(0, len(raw)))
        raw = raw[:at] + draw(st.binary(max_size=4)) + raw[at + draw(st.integers(0, 4)) :]
    return draw(st.sampled_from([b"", b"\xef\xbb\xbf", b"\r\n"])) + raw


def _change(draw: st.DrawFn, fields: Any) -> None:
    """One change somewhere in the tree: another value, another name, or nothing there."""
    part, key = fields, draw(st.sampled_from(sorted(fields))) if fields else "x"
    while part.get(key) if isinstance(part, dict) else True:
        inner = part[key]
        if not isinstance(inner, dict | list) or not inner or draw(st.booleans()):
            break
        keys = sorted(inner) if isinstance(inner, dict) else range(len(inner))
        part, key = inner, draw(st.sampled_from(keys))
    kind = draw(st.sampled_from(["value", "value", "value", "name", "gone"]))
    if kind == "value":
        part[key] = draw(values)
    elif isinstance(part, dict):
        removed = part.pop(key, None)
        if kind == "name":
            part[draw(st.text(st.characters(), max_size=3))] = removed


class Backend:
    """Takes jobs and forgets their clients."""

    def __init__(self) -> None:
        self.config = configuration()
        self.jobs: list[JobSpec] = []
        nothing = SimpleNamespace(of=lambda _tenant: ())
        self.rules = SimpleNamespace(rulebook=lambda: _done(nothing))
        self.listener = SimpleNamespace(
            origin="", expect=lambda _job_id: None, forget=lambda _waiter: None
        )

    async def caller(self, _exchange: Any) -> Caller:
        return Caller(
            key_id=uuid4(),
            tenant_id=uuid4(),
            tenant_name="t",
            tenant_weight=1.0,
            user_level=None,
            default_level=Priority.NORMAL,
            highest_level=Priority.REALTIME,
            user_id=None,
            operator=False,
        )

    async def models(self) -> list[str]:
        return ["m"]

    async def apis_of(self, model: str) -> frozenset[str]:
        return frozenset(Api.values) if model == "m" else frozenset()

    async def flow_of(self, _caller: Caller) -> int:
        return 1

    def expected_cost(self, body: str, **_: Any) -> float:
        return float(len(body))

    def admit(self, spec: JobSpec) -> None:
        pass

    async def submit(self, spec: JobSpec) -> None:
        self.jobs.append(spec)
        raise HungUp

    async def cancel(self, _job_id: Any) -> None:
        pass


async def _done(value: Any) -> Any:
    return value


# Made once: its routes are compiled.
APP = lean_application(Memory())


def sent(path: str, raw: bytes, headers: dict[str, str]) -> tuple[list[JobSpec], list[Any]]:
    """The jobs that a request became, and the messages of its answer."""
    backend = Backend()
    APP._backend = backend  # type: ignore[assignment]
    messages = [{"type": "http.request", "body": raw}]
    answers: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return messages.pop() if messages else {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        answers.append(message)

    named = [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
    scope = {"type": "http", "method": "POST", "path": path, "headers": named}
    asyncio.run(APP(scope, receive, send))
    return backend.jobs, answers


def check(path: str, raw: bytes, headers: dict[str, str]) -> None:
    jobs, answers = sent(path, raw, headers)

    if jobs:
        [job] = jobs
        assert not answers
        assert "\\u0000" not in job.body.replace("\\\\", "")
        assert isinstance(orjson.loads(job.body), dict)
        json.loads(parameters(jobs)["jobs"].obj)
        job.body.encode()
        job.model.encode()
        return
    start, body = answers
    assert 400 <= start["status"] < 500, body
    error = orjson.loads(body["body"])["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]


@pytest.mark.parametrize("api", Api.values)
def test_what_is_valid_becomes_a_job(api: str) -> None:
    jobs, answers = sent(PATHS[api], orjson.dumps(VALID[api]), {})

    assert (len(jobs), answers) == (1, [])


@settings(max_examples=examples(150, 4000), deadline=None)
@given(
    data=st.data(),
    api=st.sampled_from(Api.values),
    header=st.sampled_from(["", "high", "1", " "]) | st.text(max_size=4),
    packed=st.booleans(),
)
def test_any_change_of_a_request_is_a_job_or_a_4xx(
    data: st.DataObject, api: str, header: str, packed: bool
) -> None:
    raw = data.draw(bodies(api))
    headers = {"x-priority": header} | ({"content-encoding": "gzip"} if packed else {})

    check(PATHS[api], gzip.compress(raw) if packed else raw, headers)


@settings(max_examples=examples(30, 2000), deadline=None)
@given(
    path=st.lists(
        st.sampled_from(["/", "v1", "chat", "completions", "embeddings", "x"]), max_size=9
    )
)
def test_any_path_is_a_job_or_a_4xx(path: list[str]) -> None:
    check("/" + "".join(path), orjson.dumps(VALID[Api.CHAT]), {})
