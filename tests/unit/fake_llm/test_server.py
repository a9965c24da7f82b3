"""The endpoint as OpenAI's own client and a raw HTTP client see it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import openai
import pytest
from openai.types.chat import ChatCompletion

from tests.fake_llm import FakeLLM, running_fake_llm


@pytest.fixture
async def llm() -> AsyncIterator[FakeLLM]:
    async with FakeLLM(tokens=4) as endpoint:
        yield endpoint


@pytest.fixture
async def client(llm: FakeLLM) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=llm.base_url, api_key="any", max_retries=0) as client:
        yield client


async def ask(client: openai.AsyncOpenAI, prompt: str, **options: Any) -> ChatCompletion:
    answer = await client.chat.completions.create(
        model="fake-model", messages=[{"role": "user", "content": prompt}], **options
    )
    assert isinstance(answer, ChatCompletion)
    return answer


async def stream(client: openai.AsyncOpenAI, prompt: str) -> list[str]:
    chunks = await client.chat.completions.create(
        model="fake-model", messages=[{"role": "user", "content": prompt}], stream=True
    )
    return [c.choices[0].delta.content async for c in chunks if c.choices[0].delta.content]


async def test_a_whole_answer_with_usage(client: openai.AsyncOpenAI) -> None:
    answer = await ask(client, "one two three")

    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 3
    assert answer.usage.completion_tokens == 4
    assert len((answer.choices[0].message.content or "").split()) == 4
    assert answer.choices[0].finish_reason == "stop"


async def test_a_streamed_answer_has_the_same_text(client: openai.AsyncOpenAI) -> None:
    whole = await ask(client, "hello")

    assert "".join(await stream(client, "hello")) == whole.choices[0].message.content


async def test_prompts_have_answers_of_their_own(client: openai.AsyncOpenAI) -> None:
    first, second = await ask(client, "a"), await ask(client, "b")

    assert first.choices[0].message.content != second.choices[0].message.content


async def test_max_tokens_ends_an_answer_for_length(client: openai.AsyncOpenAI) -> None:
    answer = await ask(client, "hello", max_tokens=2)

    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 2


async def test_echo_returns_the_prompt(client: openai.AsyncOpenAI) -> None:
    assert await stream(client, 'say "hi" [[echo]]') == ["say ", '"hi" ']


async def test_usage_comes_last_in_a_stream_that_asks_for_it(client: openai.AsyncOpenAI) -> None:
    chunks = await client.chat.completions.create(
        model="fake-model",
        messages=[{"role": "user", "content": "hello"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    last = [chunk async for chunk in chunks][-1]

    assert last.choices == []
    assert last.usage is not None
    assert last.usage.completion_tokens == 4


async def test_tokens_come_at_their_pace(client: openai.AsyncOpenAI) -> None:
    loop = asyncio.get_running_loop()
    start = loop.time()

    tokens = await stream(client, "[[tokens=6 tps=50 first=0.05]]")

    assert len(tokens) == 6
    assert 0.14 <= loop.time() - start < 1


async def test_a_status_directive_fails_the_first_attempts(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.InternalServerError):
        await ask(client, "[[status=503 times=1]]")

    assert (await ask(client, "[[status=503 times=1]]")).choices


async def test_a_broken_stream_ends_in_the_middle(llm: FakeLLM) -> None:
    url = f"{llm.base_url}/chat/completions"
    body = {
        "model": "fake-model",
        "stream": True,
        "messages": [{"role": "user", "content": "[[tokens=9 break_after=2]]"}],
    }
    async with aiohttp.ClientSession() as session, session.post(url, json=body) as response:
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()

    stats = llm.stats()
    assert (stats["failures"], stats["tokens"], stats["running"]) == (1, 2, 0)


async def test_a_client_that_hangs_up_is_counted(llm: FakeLLM) -> None:
    url = f"{llm.base_url}/chat/completions"
    body = {
        "model": "fake-model",
        "stream": True,
        "messages": [{"role": "user", "content": "[[tokens=9 stall_after=2]]"}],
    }
    async with aiohttp.ClientSession() as session:
        response = await session.post(url, json=body)
        await response.content.readany()
        assert llm.stats()["running"] == 1
        response.close()

    await until(lambda: llm.stats()["cancelled"] == 1)
    assert llm.stats()["running"] == 0


async def test_requests_above_the_limit_are_refused(
    llm: FakeLLM, client: openai.AsyncOpenAI
) -> None:
    llm.control(max_concurrent=1, latency=0.1, retry_after=2)

    answers = await asyncio.gather(*(ask(client, "x") for _ in range(3)), return_exceptions=True)

    refused = [a for a in answers if isinstance(a, openai.RateLimitError)]
    assert len(refused) == 2
    assert refused[0].response.headers["retry-after"] == "2"
    assert llm.stats()["max_running"] == 1


async def test_control_and_stats_over_http(llm: FakeLLM, client: openai.AsyncOpenAI) -> None:
    async with aiohttp.ClientSession(llm.url) as session:
        changed = await session.post("/control", json={"tokens": 2})
        refused = await session.post("/control", json={"colour": "red"})
        await ask(client, "hello")
        stats = await (await session.get("/stats")).json()

    assert (changed.status, refused.status) == (200, 400)
    assert stats["tokens"] == 2
    assert stats["by_prompt"] == {"hello": 1}


async def test_health_follows_the_control(llm: FakeLLM) -> None:
    async with aiohttp.ClientSession(llm.url) as session:
        before = (await session.get("/health")).status
        llm.control(healthy=False)
        after = (await session.get("/health")).status
        metrics = await (await session.get("/metrics")).text()

    assert (before, after) == (200, 503)
    assert "fake_llm_requests 0" in metrics


async def test_models_embeddings_and_legacy_completions(client: openai.AsyncOpenAI) -> None:
    models = [model.id async for model in client.models.list()]
    embedding = await client.embeddings.create(model="fake-model", input=["a", "b"])
    legacy = await client.completions.create(model="fake-model", prompt="hello")

    assert models == ["fake-model"]
    assert [len(item.embedding) for item in embedding.data] == [8, 8]
    assert len(legacy.choices[0].text.split()) == 4


@pytest.mark.parametrize("body", ["{", "[]", "{}"])
async def test_bad_bodies_are_refused(llm: FakeLLM, body: str) -> None:
    async with aiohttp.ClientSession(llm.url) as session:
        response = await session.post("/v1/chat/completions", data=body)

        assert response.status == 400
        assert (await response.json())["error"]["type"] == "invalid_request_error"


async def test_many_streams_share_the_timer(llm: FakeLLM) -> None:
    url = f"{llm.base_url}/chat/completions"
    body = {
        "model": "fake-model",
        "stream": True,
        "messages": [{"role": "user", "content": "[[tokens=10 tps=50]]"}],
    }

    async def one(session: aiohttp.ClientSession) -> int:
        async with session.post(url, json=body) as response:
            return (await response.read()).count(b'"content":"') - 1

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        counts = await asyncio.gather(*(one(session) for _ in range(100)))

    assert counts == [10] * 100
    assert llm.stats()["max_running"] == 100


def test_in_a_thread_with_an_outage() -> None:
    with running_fake_llm(tokens=2) as llm:
        client = openai.OpenAI(base_url=llm.base_url, api_key="any", max_retries=0)
        llm.control(tokens=3)
        answer = client.completions.create(model="fake-model", prompt="hello")
        llm.stop()
        with pytest.raises(openai.APIConnectionError):
            client.completions.create(model="fake-model", prompt="hello")
        llm.start()
        again = client.completions.create(model="fake-model", prompt="hello")
        client.close()

        assert answer.choices[0].text == again.choices[0].text
        assert llm.stats()["by_prompt"] == {"hello": 2}


async def until(condition: Any) -> None:
    async with asyncio.timeout(2):
        while not condition():
            await asyncio.sleep(0.005)


async def test_the_journal_tells_of_each_call_from_when_it_was_first_asked(llm: FakeLLM) -> None:
    async def journal(session: aiohttp.ClientSession) -> Any:
        async with session.get(f"{llm.url}/journal") as response:
            return await response.json()

    async def say(session: aiohttp.ClientSession, prompt: str) -> None:
        body = {"messages": [{"role": "user", "content": prompt}]}
        async with session.post(f"{llm.base_url}/chat/completions", json=body) as response:
            await response.read()

    async with aiohttp.ClientSession() as session:
        await say(session, "before anybody asked")
        assert await journal(session) == []
        await say(session, "first [[latency=0.05]] word")
        ((tag, began, ended),) = await journal(session)

        assert tag == "first"
        assert ended - began >= 0.04
        assert await journal(session) == []


async def test_a_control_hastens_streams_of_a_batch() -> None:
    async with FakeLLM(tokens=50, batch=16, tokens_per_second=0.01, prefill=3) as endpoint:
        options: dict[str, Any] = {"base_url": endpoint.base_url, "api_key": "any"}
        async with openai.AsyncOpenAI(**options, max_retries=0) as client:
            streamed = asyncio.create_task(stream(client, "now"))
            whole = asyncio.create_task(ask(client, "now"))
            while endpoint.stats()["running"] < 2:
                await asyncio.sleep(0.001)
            endpoint.control(tokens_per_second=1e6)
            words, answer = await asyncio.gather(streamed, whole)

    assert "".join(words) == answer.choices[0].message.content
    assert len("".join(words).split()) == 50
