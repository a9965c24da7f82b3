"""The OpenAI SDK in front, endpoints of every kind behind: the client cannot tell."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
from openai import OpenAI

from llmqueue_project.embedded.services import Services
from tests.client import KEY
from tests.eventually import eventually
from tests.fake_llm import RunningFakeLLM, running_fake_llm
from tests.stack import Stack, running_stack
from tests.unit.balancing.fitting.strict import running_strict

ASK: list[Any] = [{"role": "user", "content": "say something [[tokens=12]]"}]


@pytest.fixture(scope="module")
def stack(services: Services, fake: RunningFakeLLM) -> Iterator[Stack]:
    with running_stack(services, gear="direct") as running:
        for name, kind, path in (
            ("claude", "anthropic", "/v1"),
            ("gemini", "gemini", "/v1beta"),
            ("azure", "azure_openai", ""),
        ):
            running.register(name, fake.url + path, models=[f"{name}-model"], kind=kind)
        running.register("vectors", fake.base_url, models=["both"], apis=["embedding"])
        running.register("words", fake.base_url, models=["both", "words"], apis=["chat"])
        yield running


@pytest.fixture
def client(stack: Stack) -> OpenAI:
    return OpenAI(base_url=f"{stack.url}/v1", api_key=KEY, max_retries=0, timeout=30)


@pytest.mark.parametrize("model", ["claude-model", "gemini-model", "azure-model"])
def test_streams(client: OpenAI, model: str) -> None:
    chunks: list[Any] = list(
        client.chat.completions.create(
            model=model, messages=ASK, stream=True, stream_options={"include_usage": True}
        )
    )

    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert len(text.split()) == 12
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[-1].usage.completion_tokens == 12


@pytest.mark.parametrize("model", ["claude-model", "gemini-model", "azure-model"])
def test_answers_whole(client: OpenAI, model: str) -> None:
    answer = client.chat.completions.create(model=model, messages=ASK, max_tokens=5)

    assert answer.id.startswith("chatcmpl-")
    assert len((answer.choices[0].message.content or "").split()) == 5
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 5


def test_an_endpoint_that_knows_fewer_fields(client: OpenAI, stack: Stack) -> None:
    """It answers all the same, in one attempt, and is asked without them from then on."""

    def judge(body: dict[str, Any]) -> tuple[int, Any] | None:
        name = next((n for n in ("stream_options", "metadata", "stop") if n in body), None)
        return name and (422, {"detail": [{"loc": ["body", name], "msg": "Extra inputs"}]})

    with running_strict(judge) as endpoint:
        stack.register("strict", endpoint.url, models=["strict"])
        ask: dict[str, Any] = {"model": "strict", "messages": ASK, "metadata": {"a": "b"}}
        streams = [list(client.chat.completions.create(**ask, stream=True)) for _ in range(2)]
        with pytest.raises(openai.UnprocessableEntityError):
            client.chat.completions.create(**ask, stop=["x"])

        for chunks in streams:
            assert "".join(c.choices[0].delta.content or "" for c in chunks) == "hi"
        known = [sorted(body.keys() & {"stream_options", "metadata"}) for body in endpoint.asked]
        assert known == [["metadata", "stream_options"], ["metadata"], [], [], []]
        attempts = stack.rows(
            "select a.outcome from scheduling_attempt a join scheduling_job j on j.id = a.job_id"
            " where j.model = 'strict' order by j.created_at"
        )
        assert [outcome for (outcome,) in attempts[:2]] == ["ok", "ok"]
        assert len(attempts) == 3
        shown = stack.call("GET", "/api/v1/endpoints").body["data"]["items"]
        (refused,) = [each["refused_fields"] for each in shown if each["name"] == "strict"]
        assert [each["field"] for each in refused] == ["metadata", "stream_options"]


def test_an_overloaded_provider_is_asked_again(client: OpenAI, stack: Stack) -> None:
    ask: list[Any] = [{"role": "user", "content": "once more [[status=529 times=1]]"}]

    answer = client.chat.completions.with_raw_response.create(model="claude-model", messages=ask)

    attempts = stack.rows(
        "select outcome, error_code from scheduling_attempt where job_id = %s order by number",
        answer.headers["x-llmqueue-job"],
    )
    assert [code for _, code in attempts] == ["http_529", ""]
    assert answer.parse().choices[0].message.content


def test_a_refusal_has_openais_shape(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="claude-model", messages=ASK, n=2)

    assert refused.value.type == "invalid_request_error"
    assert refused.value.param == "n"


def test_embeddings(client: OpenAI) -> None:
    answer = client.embeddings.create(model="both", input=["one", "two"])
    plain = client.embeddings.create(model="both", input="two", encoding_format="float")

    assert [each.index for each in answer.data] == [0, 1]
    assert answer.data[1].embedding == pytest.approx(plain.data[0].embedding, rel=1e-6)
    assert answer.usage.prompt_tokens == 2


def test_an_api_that_no_endpoint_serves_is_refused(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as wrong:
        client.embeddings.create(model="words", input="x")
    assert wrong.value.code == "unsupported_model"
    assert "/v1/chat/completions" in wrong.value.message

    with pytest.raises(openai.NotFoundError):
        client.completions.create(model="claude-model", prompt="x")


def test_a_model_served_by_two_endpoints_for_two_apis(client: OpenAI, stack: Stack) -> None:
    """A full pool of one API never takes, or blocks, what waits for the other."""

    def one(number: int) -> int:
        if number % 2:
            return len(client.embeddings.create(model="both", input=f"n{number}").data)
        ask: list[Any] = [{"role": "user", "content": f"n{number} [[tokens=5 tps=50]]"}]
        return len(client.chat.completions.create(model="both", messages=ask).choices)

    with ThreadPoolExecutor(40) as pool:
        assert list(pool.map(one, range(40))) == [1] * 40

    wrong = stack.rows(
        "select j.api, e.name from scheduling_attempt a"
        " join scheduling_job j on j.id = a.job_id"
        " join balancing_endpoint e on e.id = a.endpoint_id"
        " where j.model = 'both' and (j.api = 'chat') <> (e.name = 'words')"
    )
    assert wrong == []


def test_a_rate_limit_makes_requests_wait(client: OpenAI, stack: Stack) -> None:
    with running_fake_llm(tokens=2) as limited, ThreadPoolExecutor(5) as pool:
        stack.register("limited", limited.base_url, models=["scarce"], requests_per_minute=2)
        ask: list[Any] = [{"role": "user", "content": "x"}]
        answers = [
            pool.submit(client.chat.completions.create, model="scarce", messages=ask)
            for _ in range(5)
        ]
        expected = {"completed": 2, "queued": 3}
        eventually(lambda: jobs_of(stack, "scarce") == expected)
        others = client.chat.completions.create(model="words", messages=ASK)
        assert others.choices, "another model's requests pass those that wait"
        assert limited.stats()["requests"] == 2

        stack.register("limited", limited.base_url, models=["scarce"], requests_per_minute=5)

        assert all(answer.result(timeout=20).choices for answer in answers)
        assert limited.stats()["requests"] == 5


def jobs_of(stack: Stack, model: str) -> dict[str, int]:
    counts = "select status, count(*) from scheduling_job where model = %s group by status"
    return dict(stack.rows(counts, model))
