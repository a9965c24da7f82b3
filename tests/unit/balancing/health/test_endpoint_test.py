"""The test of an endpoint, as an operator reads it."""

from __future__ import annotations

import pytest

from balancing.health import endpoint_test
from balancing.models import Endpoint
from tests.fake_llm import RunningFakeLLM, running_fake_llm


@pytest.fixture(scope="module")
def llm() -> object:
    with running_fake_llm(tokens=3, models="m,n") as running:
        yield running


def endpoint(url: str, **fields: object) -> Endpoint:
    values: dict[str, object] = {"name": "e", "base_url": url, "model_names": ["m"], **fields}
    return Endpoint(**values)


@pytest.mark.parametrize(
    ("kind", "path"),
    [("openai", "/v1"), ("azure_openai", ""), ("anthropic", "/v1"), ("gemini", "/v1beta")],
)
def test_one_that_works(llm: RunningFakeLLM, kind: str, path: str) -> None:
    found = endpoint_test.run(endpoint(llm.url + path, kind=kind))

    assert found.worked
    assert "e, model m: answered in" in found.text
    assert "2 tokens in, 1 out" in found.text
    assert "lists 2 models, all of these among them" in found.text


@pytest.mark.parametrize("api", ["completion", "embedding"])
def test_other_apis(llm: RunningFakeLLM, api: str) -> None:
    assert endpoint_test.run(endpoint(llm.base_url, apis=[api])).worked


def test_models_that_it_does_not_have(llm: RunningFakeLLM) -> None:
    found = endpoint_test.run(endpoint(llm.base_url, model_names=["m", "z"]))

    assert "but not z." in found.text


def test_one_that_refuses(llm: RunningFakeLLM) -> None:
    llm.control(fail_rate=1.0, status=401)
    try:
        found = endpoint_test.run(endpoint(llm.base_url))
    finally:
        llm.control(fail_rate=0.0)

    assert not found.worked
    assert "failed: http_401: failing on purpose" in found.text


def test_one_that_is_not_there() -> None:
    found = endpoint_test.run(endpoint("http://127.0.0.1:9/v1"))

    assert not found.worked
    assert "connect_failed" in found.text


def test_a_credential_that_only_workers_have(llm: RunningFakeLLM) -> None:
    found = endpoint_test.run(endpoint(llm.base_url, api_key_variable="LLM_NOT_HERE"))

    assert "LLM_NOT_HERE is not in the environment" in found.text


def test_a_row_that_cannot_be_read() -> None:
    found = endpoint_test.run(endpoint("http://e/v1", extra_headers=[]))

    assert not found.worked
    assert found.text == "e: its row cannot be read: extra_headers: an object"
