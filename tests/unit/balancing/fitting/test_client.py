"""Calls to endpoints that refuse fields: mended within one attempt, learned where it helped."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balancing.errors import CallError, Refused, Unavailable
from balancing.fitting.client import FittedClient
from balancing.fitting.fields import IDLE, MEANINGLESS
from tests.field import examples
from tests.unit.balancing.fitting.strict import Judge, Strict, strict

STREAMED: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}


def unknown(*fields: str, status: int = 400) -> Judge:
    """Refuses the first of these fields that a request has, as OpenAI does."""

    def judge(body: dict[str, Any]) -> tuple[int, Any] | None:
        name = next((name for name in fields if name in body), None)
        if name is None:
            return None
        text = f"Unrecognized request argument supplied: {name}"
        return status, {"error": {"message": text, "type": "invalid_request_error"}}

    return judge


async def failure(endpoint: Strict, **fields: Any) -> CallError:
    with pytest.raises(CallError) as caught:
        await endpoint.ask(**fields)
    return caught.value


async def test_stream_options_are_left_out_and_known_from_then_on() -> None:
    """Kind 6, `stream_options` first of all: llmqueue adds them to every stream."""
    async with strict(unknown("stream_options")) as endpoint:
        await endpoint.ask(**STREAMED)
        first = len(endpoint.asked)
        await endpoint.ask(**STREAMED)

        assert endpoint.chunks.text == "hi"
        assert (first, len(endpoint.asked)) == (2, 3)
        assert ["stream_options" in body for body in endpoint.asked] == [True, False, False]
        assert endpoint.learned() == {"stream_options"}


async def test_it_is_learned_for_the_endpoint_and_the_model_alone() -> None:
    async with strict(lambda body: unknown("user")(body) if body["model"] == "m" else None) as it:
        await it.ask(user="u")
        await it.ask(user="u", model="other")
        await it.ask(user="u", endpoint=2)

        assert ["user" in body for body in it.asked] == [True, False, True, True, False]
        assert it.learned(1, "other") == frozenset()


async def test_several_fields_one_after_the_other() -> None:
    names = ("user", "seed", "store", "metadata", "presence_penalty")
    async with strict(unknown(*names, status=422)) as endpoint:
        fields: dict[str, Any] = dict.fromkeys(names, 1)
        await endpoint.ask(**fields, temperature=0.3)

        assert len(endpoint.asked) == len(names) + 1
        assert endpoint.asked[-1].keys() == {"model", "messages", "temperature"}
        assert endpoint.learned() == set(names)


@pytest.mark.parametrize(
    ("given", "other"),
    [("max_tokens", "max_completion_tokens"), ("max_completion_tokens", "max_tokens")],
)
async def test_a_limit_moves_to_its_other_name(given: str, other: str) -> None:
    async with strict(unknown(given)) as endpoint:
        limits: list[dict[str, Any]] = [{given: 7}, {given: 9, other: 8}]
        for fields in limits:
            await endpoint.ask(**fields)

        assert [body.get(other) for body in endpoint.asked] == [None, 7, 8]


async def test_notes_go_from_messages_and_nothing_else_does() -> None:
    """This gateway writes `extra_content` itself, and other servers may refuse it."""
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    plain: list[dict[str, Any]] = [
        {"role": "user", "content": "x", "name": "ann"},
        {"role": "assistant", "content": "y", "refusal": "z", "tool_calls": [call]},
    ]
    noted = [
        plain[0],
        {
            **plain[1],
            "reasoning_content": "hm",
            "tool_calls": [{**call, "extra_content": {"anthropic": {}}}],
        },
    ]

    def judge(body: dict[str, Any]) -> tuple[int, Any] | None:
        text = str(body["messages"])
        name = next((n for n in ("extra_content", "reasoning_content") if n in text), None)
        told = f"Additional properties are not allowed ('{name}' was unexpected) - 'messages.1'"
        return (400, {"error": {"message": told}}) if name else None

    async with strict(judge) as endpoint:
        await endpoint.ask(messages=noted)
        await endpoint.ask(messages=noted)

        assert len(endpoint.asked) == 4
        assert endpoint.asked[2]["messages"] == endpoint.asked[3]["messages"] == plain
        assert endpoint.learned() == {"messages.extra_content", "messages.reasoning_content"}


async def test_an_api_of_another_shape_is_fitted_too() -> None:
    """G9: a model of Gemini that is not in the table."""

    def judge(body: dict[str, Any]) -> tuple[int, Any] | None:
        text = "Penalty is not enabled for models/m"
        return (
            (400, {"error": {"code": 400, "message": text}}) if "generationConfig" in body else None
        )

    async with strict(judge, kind="gemini") as endpoint:
        with pytest.raises(CallError):  # It answers in OpenAI's shape.
            await endpoint.ask(presence_penalty=0.5, frequency_penalty=0.5)

        assert ["generationConfig" in body for body in endpoint.asked] == [True, False]


async def test_the_time_of_a_repeat_is_what_is_left() -> None:
    def judge(body: dict[str, Any]) -> tuple[int, Any] | None:
        time.sleep(0.05)
        return unknown("user")(body)

    async with strict(judge) as endpoint:
        calls = []
        inner = endpoint.client._client

        class Watched:
            async def call(self, target: Any, call: Any, on_chunk: Any) -> Any:
                calls.append(call.timeouts.total)
                return await inner.call(target, call, on_chunk)

        endpoint.client = FittedClient(Watched(), endpoint.lessons)
        await endpoint.ask(user="u")

        assert calls[1] <= calls[0] - 0.05


async def test_a_limit_that_is_refused_by_both_names_is_the_clients() -> None:
    async with strict(unknown("max_tokens", "max_completion_tokens")) as endpoint:
        error = await failure(endpoint, max_tokens=7)

        assert isinstance(error, Refused)
        assert len(endpoint.asked) == 2
        assert endpoint.learned() == frozenset()


async def test_a_request_that_is_at_fault_itself_teaches_nothing() -> None:
    """One tenant's odd request must not take a field from the others."""

    def judge(body: dict[str, Any]) -> tuple[int, Any] | None:
        if body["messages"][0]["content"] == "odd":
            return 400, {"error": {"message": "Unknown parameter: 'user'"}}
        return None

    async with strict(judge) as endpoint:
        error = await failure(endpoint, user="u", messages=[{"role": "user", "content": "odd"}])
        await endpoint.ask(user="u")

        assert str(error) == "Unknown parameter: 'user'"
        assert endpoint.learned() == frozenset()
        assert "user" in endpoint.asked[-1]


async def test_a_combination_is_mended_and_teaches_nothing() -> None:
    """OpenAI: parallel_tool_calls without tools."""

    def judge(body: dict[str, Any]) -> tuple[int, Any] | None:
        if "parallel_tool_calls" in body and "tools" not in body:
            text = "'parallel_tool_calls' is only allowed when 'tools' are specified."
            return 400, {"error": {"message": text, "param": "parallel_tool_calls"}}
        return None

    async with strict(judge) as endpoint:
        await endpoint.ask(parallel_tool_calls=False)
        await endpoint.ask(parallel_tool_calls=False, tools=[{}])

        assert ["parallel_tool_calls" in body for body in endpoint.asked] == [True, False, True]


async def test_what_is_refused_beside_an_unusual_field_teaches_nothing() -> None:
    """Azure refuses stream_options only beside data_sources (openai/openai-python#2296)."""

    def judge(body: dict[str, Any]) -> tuple[int, Any] | None:
        if "data_sources" in body and "stream_options" in body:
            text = "Validation error at #/stream_options: Extra inputs are not permitted"
            return 400, {"error": {"message": text}}
        return None

    async with strict(judge) as endpoint:
        await endpoint.ask(**STREAMED, data_sources=[])
        await endpoint.ask(**STREAMED)

        assert endpoint.learned() == frozenset()
        assert "stream_options" in endpoint.asked[-1]


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [{}]},
        {"tool_choice": "auto"},
        {"response_format": {"type": "json_object"}},
        {"stop": ["x"]},
        {"temperature": 0.2},
        {"top_p": 0.2},
        {"logit_bias": {"1": 5}},
        {"n": 2},
        {"logprobs": True},
        {"reasoning_effort": "low"},
    ],
)
async def test_what_has_a_meaning_is_never_removed(fields: dict[str, Any]) -> None:
    (name,) = fields
    async with strict(unknown(name)) as endpoint:
        error = await failure(endpoint, user="u", **fields)

        assert isinstance(error, Refused)
        assert name in str(error)
        assert len(endpoint.asked) == 1


@pytest.mark.parametrize(
    ("told", "status"),
    [("", 400), ("null", 400), ("Bad Request", 422), ({"detail": None}, 400)],
)
async def test_a_refusal_without_a_word(told: Any, status: int) -> None:
    def judge(body: dict[str, Any]) -> tuple[int, Any] | None:
        return (status, told) if "stream_options" in body else None

    async with strict(judge) as endpoint:
        await endpoint.ask(**STREAMED)

        assert len(endpoint.asked) == 2
        assert endpoint.learned() == {"stream_options"}


async def test_a_refusal_without_a_word_of_an_endpoint_that_takes_them() -> None:
    """The client's own fault is told after one call."""
    refused = {"now": False}

    async with strict(lambda _body: (400, "") if refused["now"] else None) as endpoint:
        await endpoint.ask(**STREAMED)
        refused["now"] = True
        await failure(endpoint, **STREAMED)

        assert len(endpoint.asked) == 2


async def test_a_crash_that_names_a_field() -> None:
    def judge(body: dict[str, Any]) -> tuple[int, Any] | None:
        text = "create() got an unexpected keyword argument 'stream_options'"
        return (500, {"error": {"message": text}}) if "stream_options" in body else None

    async with strict(judge) as endpoint:
        await endpoint.ask(**STREAMED)

        assert endpoint.learned() == {"stream_options"}


async def test_a_busy_endpoint_is_called_once() -> None:
    async with strict(lambda _body: (503, {"error": {"message": "no 'user' supported"}})) as it:
        error = await failure(it, user="u")

        assert isinstance(error, Unavailable)
        assert len(it.asked) == 1


@pytest.mark.parametrize(("status", "told"), [(400, "text, not tokens"), (422, "base64?")])
async def test_embeddings_are_refused_with_the_endpoints_text(status: int, told: str) -> None:
    """A27: an endpoint that knows neither base64 nor tokens."""
    async with strict(lambda _body: (status, {"error": {"message": told}})) as endpoint:
        error = await failure(
            endpoint, api="embedding", input=[[2028, 374]], encoding_format="base64"
        )

        assert isinstance(error, Refused)
        assert (error.status, str(error)) == (status, told)
        assert len(endpoint.asked) == 1


WORDINGS = (
    "Unrecognized request argument supplied: {}",
    "Unknown parameter: '{}'.",
    "Unsupported parameter: '{}' is not supported with this model.",
    "body.{}: Extra inputs are not permitted",
    "got an unexpected keyword argument '{}'",
    "property '{}' is unsupported",
    "unknown field `{}`, expected one of `model`, `messages`, `user`, `seed`",
    'Invalid JSON payload received. Unknown name "{}": Cannot find field.',
    "Additional properties are not allowed ('{}' was unexpected)",
)
SHAPES = (
    lambda text, name: {"error": {"message": text, "param": name}},
    lambda text, _name: {"error": {"message": text, "code": "x"}},
    lambda text, _name: {"error": text},
    lambda text, _name: {"object": "error", "message": text, "code": 400},
    lambda text, name: {"detail": [{"loc": ["body", name], "msg": text, "type": "t"}]},
)
NEEDED = ("temperature", "tools", "response_format", "stop", "top_p", "reasoning_effort")
FIELDS = [*sorted(MEANINGLESS - {"stream_options"}), *IDLE, *NEEDED, "stream_options"]


def one_of(body: dict[str, Any], refused: frozenset[str], wording: str, shape: Any) -> Any:
    name = next((name for name in sorted(refused) if name in body), None)
    return None if name is None else (400, shape(wording.format(name), name))


@settings(max_examples=examples(25, 2000), deadline=None)
@given(
    refused=st.frozensets(st.sampled_from(FIELDS), max_size=5),
    sent=st.frozensets(st.sampled_from(FIELDS), max_size=8),
    wording=st.sampled_from(WORDINGS),
    shape=st.sampled_from(SHAPES),
    stream=st.booleans(),
)
def test_any_refusals(
    refused: frozenset[str], sent: frozenset[str], wording: str, shape: Any, stream: bool
) -> None:
    """Answered if only fields of the list are refused, else told; nothing else is ever removed."""
    fields = {name: IDLE.get(name, "v") for name in sent}
    fields |= {"stream": stream}
    if stream:
        fields |= STREAMED

    async def run() -> None:
        async with strict(lambda body: one_of(body, refused, wording, shape)) as endpoint:
            meant = refused & fields.keys()
            learned = frozenset[str]()
            if meant & set(NEEDED):
                assert isinstance(await failure(endpoint, **fields), Refused)
            else:
                await endpoint.ask(**fields)
                learned = endpoint.learned()
                assert learned <= meant
                # Options of a request that is no stream teach nothing.
                assert stream or "stream_options" not in learned
                assert meant - learned <= (set() if stream else {"stream_options"})
            assert endpoint.learned() == learned
            for body in endpoint.asked:
                assert fields.keys() - body.keys() <= refused & (MEANINGLESS | IDLE.keys())
                assert all(body[name] == value for name, value in fields.items() if name in body)

    asyncio.run(run())
