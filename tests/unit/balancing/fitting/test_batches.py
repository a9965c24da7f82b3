"""Embeddings of more texts than a provider takes at once."""

from __future__ import annotations

from typing import Any

import orjson

from tests.unit.balancing.calls.scripted import response
from tests.unit.balancing.fitting.strict import Strict, strict


def vectors(body: dict[str, Any]) -> dict[str, Any]:
    values = [{"values": [float(each["content"]["parts"][0]["text"])]} for each in body["requests"]]
    return {"embeddings": values, "usageMetadata": {"promptTokenCount": len(values)}}


async def embedded(endpoint: Strict, count: int) -> Any:
    endpoint.answer = lambda body: response(orjson.dumps(vectors(body)))  # type: ignore[method-assign]
    return await endpoint.ask(api="embedding", input=[str(n) for n in range(count)])


async def test_250_texts_are_one_answer() -> None:
    """G11: Gemini takes 100 a batch."""
    async with strict(lambda _body: None, kind="gemini") as endpoint:
        body = await embedded(endpoint, 250)

        assert [len(asked["requests"]) for asked in endpoint.asked] == [100, 100, 50]
        assert [each["index"] for each in body["data"]] == list(range(250))
        assert [each["embedding"] for each in body["data"]] == [[float(n)] for n in range(250)]
        assert body["usage"] == {"prompt_tokens": 250, "total_tokens": 250}
        assert (body["object"], body["model"]) == ("list", "m")


async def test_100_texts_are_one_call() -> None:
    async with strict(lambda _body: None, kind="gemini") as endpoint:
        await embedded(endpoint, 100)

        assert len(endpoint.asked) == 1


async def test_other_kinds_get_what_the_client_sent() -> None:
    def plain(body: dict[str, Any]) -> bytes:
        data = [{"index": n, "embedding": [0.5]} for n in range(len(body["input"]))]
        return response(orjson.dumps({"object": "list", "model": "m", "data": data}))

    async with strict(lambda _body: None) as endpoint:
        endpoint.answer = plain  # type: ignore[method-assign]
        await endpoint.ask(api="embedding", input=["a"] * 250)

        assert [len(asked["input"]) for asked in endpoint.asked] == [250]
