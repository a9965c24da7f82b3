"""The endpoint: its routes, its control and its listening socket."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from types import TracebackType
from typing import Any, Self

import orjson

from tests.fake_llm import answers, dialects
from tests.fake_llm.batch import Batch
from tests.fake_llm.behaviour import Behaviour, directives
from tests.fake_llm.connection import Connection
from tests.fake_llm.counters import Counters
from tests.fake_llm.dialects import AZURE, GEMINI, error_for, frames_for
from tests.fake_llm.generation import Generation, Surroundings
from tests.fake_llm.ticker import Ticker

ANSWERED = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/messages")


class FakeLLM:
    """`async with FakeLLM(tokens=5) as llm: ...`; keyword arguments are `Behaviour`'s fields."""

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0, **fields: Any) -> None:
        self.host = host
        self.port = port
        self._behaviour = Behaviour().with_fields(fields)
        self._random = random.Random(self._behaviour.seed)
        self._counters = Counters()
        self._ids = itertools.count(1)
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self._around: Surroundings | None = None

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def base_url(self) -> str:
        """What an OpenAI client takes as its base URL; an Anthropic or Gemini endpoint too."""
        return f"{self.url}/v1"

    def control(self, **fields: Any) -> None:
        """Change the behaviour of the requests that arrive from now on."""
        self._behaviour = self._behaviour.with_fields(fields)
        self._adjust_batch()
        if "seed" in fields:
            self._random = random.Random(self._behaviour.seed)

    def _adjust_batch(self) -> None:
        if self._around is not None:
            self._around.batch.adjust(
                self._around.loop.time(),
                size=self._behaviour.batch,
                tokens_per_second=self._behaviour.tokens_per_second,
            )

    def stats(self) -> dict[str, Any]:
        return self._counters.as_dict()

    async def start(self) -> None:
        """Listen; after a `stop`, on the same port again."""
        loop = asyncio.get_running_loop()
        self._around = Surroundings(loop, Ticker(loop), self._counters, Batch())
        self._adjust_batch()
        self._server = await loop.create_server(
            lambda: Connection(self._route, self._connections), self.host, self.port, backlog=4096
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Break all connections off and refuse new ones."""
        if self._server is None or self._around is None:
            return
        self._server.close()
        for connection in list(self._connections):
            if connection.transport is not None:
                connection.transport.abort()
        await self._server.wait_closed()
        while self._connections:
            await asyncio.sleep(0)
        self._around.ticker.stop()
        self._server = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    def _route(self, connection: Connection, method: str, path: str, body: bytes) -> None:
        if azure := AZURE.fullmatch(path):
            path = f"/v1{azure[1]}"
        match method, path:
            case "POST", _ if path in ANSWERED or GEMINI.fullmatch(path):
                self._count_and_answer(connection, path, body)
            case "POST", "/control":
                self._control(connection, body)
            case "GET", "/v1beta/models":
                connection.respond(200, dialects.gemini_models(self._behaviour.models))
            case "GET", "/v1/models" | "/openai/v1/models":
                self._list_models(connection)
            case "GET", "/stats":
                connection.respond(200, orjson.dumps(self.stats()))
            case "GET", "/journal":
                connection.respond(200, orjson.dumps(self._counters.take_journal()))
            case "GET", "/health":
                self._health(connection)
            case "GET", "/metrics":
                connection.respond(200, self._metrics(), content_type="text/plain; version=0.0.4")
            case _:
                connection.respond(404, answers.error(404, f"no such path: {path}"))

    def _count_and_answer(self, connection: Connection, path: str, body: bytes) -> None:
        self._counters.requests += 1
        try:
            fields = orjson.loads(body)
            if not isinstance(fields, dict):
                raise ValueError("the body must be a JSON object")
            found = GEMINI.fullmatch(path)
            if path == "/v1/embeddings":
                self._embed(connection, path, answers.embeddings(fields))
            elif found and found[2] == "batchEmbedContents":
                self._embed(connection, path, dialects.gemini_embeddings(fields))
            elif found:
                asked = dialects.gemini_question(found[1], found[2], fields)
                self._generate(connection, path, asked)
            elif path == "/v1/messages":
                self._generate(connection, path, dialects.anthropic_question(fields))
            else:
                asked = answers.question(fields, chat=path == "/v1/chat/completions")
                self._generate(connection, path, asked)
        except (ValueError, KeyError, TypeError) as error:
            self._fail(connection, path, 400, str(error))

    def _generate(self, connection: Connection, path: str, asked: answers.Question) -> None:
        self._counters.attempts[asked.prompt] += 1
        wanted = directives(asked.prompt)
        behaviour = wanted.apply(self._behaviour, self._counters.attempts[asked.prompt])
        if self._refused(connection, path, behaviour):
            return
        around = self._around
        assert around is not None
        answer_id = f"{'chatcmpl' if asked.chat else 'cmpl'}-{next(self._ids)}"
        tokens = answers.words(
            asked.prompt, seed=behaviour.seed, count=behaviour.tokens, echo=behaviour.echo
        )
        frames = frames_for(path, asked, answer_id=answer_id, created=int(time.time()))
        Generation(connection, asked, behaviour, frames, tokens, around)

    def _embed(self, connection: Connection, path: str, body: bytes) -> None:
        if self._refused(connection, path, self._behaviour):
            return
        connection.respond(200, body)
        self._counters.completed += 1

    def _refused(self, connection: Connection, path: str, behaviour: Behaviour) -> bool:
        """Answer with an error if the behaviour says so."""
        if behaviour.max_concurrent and self._counters.running >= behaviour.max_concurrent:
            self._counters.rejected += 1
            wait = behaviour.retry_after
            self._fail(connection, path, 429, "too many concurrent requests", wait)
            return True
        if behaviour.fail_rate and self._random.random() < behaviour.fail_rate:
            wait = behaviour.retry_after
            self._fail(connection, path, behaviour.status, "failing on purpose", wait)
            return True
        return False

    def _fail(
        self, connection: Connection, path: str, status: int, message: str, retry_after: float = 0.0
    ) -> None:
        self._counters.failures += 1
        headers = {"retry-after": f"{retry_after:g}"} if retry_after else None
        connection.respond(status, error_for(path, status, message), headers=headers)

    def _control(self, connection: Connection, body: bytes) -> None:
        try:
            self.control(**orjson.loads(body))
        except (ValueError, TypeError) as error:
            connection.respond(400, answers.error(400, str(error)))
            return
        connection.respond(200, orjson.dumps(self._behaviour.as_dict()))

    def _list_models(self, connection: Connection) -> None:
        status, models = self._behaviour.list_status, self._behaviour.models
        body = answers.model_list(models) if status == 200 else answers.error(status, "no list")
        connection.respond(status, body)

    def _health(self, connection: Connection) -> None:
        healthy = self._behaviour.healthy
        body = orjson.dumps({"status": "ok" if healthy else "error"})
        connection.respond(200 if healthy else 503, body)

    def _metrics(self) -> bytes:
        """Our own counters, and the load gauge under the names real servers use."""
        lines = [
            f"fake_llm_{name} {value}"
            for name, value in self.stats().items()
            if not isinstance(value, dict)
        ]
        running = self._counters.running
        lines += [f"vllm:num_requests_running {running}", "vllm:num_requests_waiting 0"]
        lines += [f"llamacpp:requests_processing {running}", "llamacpp:requests_deferred 0", ""]
        return "\n".join(lines).encode()
