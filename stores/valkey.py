"""A Valkey client for the hot path: one connection, on which nothing waits for a reply.

What is sent within one turn of the event loop leaves in one write, in the order in which it was
sent, and so runs in that order; replies come back in it. redis-py makes the connection (address,
TLS, login) and names the commands. Its own way, a connection for each command under way with a
task and two timers around it, costs several times as much (docs/decisions/0023).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from hashlib import sha1
from typing import Any

import hiredis
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    NoScriptError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import (
    ConnectionError as LostError,
)
from redis.exceptions import (
    TimeoutError as LateError,
)

from llmqueue_project.config import configuration

READ_BYTES = 256 * 1024
_ERRORS: dict[str, type[RedisError]] = {
    "NOSCRIPT": NoScriptError,
    "LOADING": BusyLoadingError,
    "READONLY": ReadOnlyError,
    "MASTERDOWN": MasterDownError,
    "CLUSTERDOWN": ClusterDownError,
}
# This server is the primary no more. The one that is may have another address by the same name.
_DEMOTED = (ReadOnlyError, ClusterDownError)
# Options of redis-py's commands that are for its own cache and connection.
_NOT_FOR_CALLBACKS = frozenset({"keys", "NEVER_DECODE", "EMPTY_RESPONSE"})
_Waiting = tuple["asyncio.Future[Any]", Callable[..., Any] | None, dict[str, Any]]


class Valkey(Redis):
    """redis-py's client; a command is under way once its method was called, awaited or not.

    No command may block (BRPOP, XREAD BLOCK): what is sent after it would wait too. `pubsub()` and
    `pipeline()` have connections of their own, as ever.

    Raises, by every command: redis.RedisError when Valkey is away or does not answer in time; the
    command may have run nevertheless.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._line = _Line(self)

    @classmethod
    def configured(cls) -> Valkey:
        """A client of the configured server.

        It does not try again by itself, which would take up to half a minute: the next command
        does.
        """
        made: Valkey = cls.from_url(  # type: ignore[assignment]  # redis-py says Redis
            configuration().redis_url.get_secret_value(),
            socket_timeout=5,
            socket_connect_timeout=2,
            retry=Retry(NoBackoff(), 0),
        )
        return made

    def execute_command(self, *args: Any, **options: Any) -> Awaitable[Any]:  # type: ignore[override]
        return self._line.send(args, self.response_callbacks.get(args[0]), options)

    def register_script(self, script: Any) -> Any:
        return Script(self, script)

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        await self._line.close()
        await super().aclose(close_connection_pool)


class Script:
    """A Lua script, sent by its hash; where Valkey does not know it, whole and out of order."""

    def __init__(self, client: Valkey, text: str) -> None:
        self._client = client
        self._text = text
        self._sha = sha1(text.encode()).hexdigest()  # noqa: S324 - how scripts are named

    def __call__(self, keys: Sequence[Any] = (), args: Iterable[Any] = ()) -> Awaitable[Any]:
        arguments = (*keys, *args)
        sent = self._client.execute_command("EVALSHA", self._sha, len(keys), *arguments)
        return self._known(sent, len(keys), arguments)

    async def _known(self, sent: Awaitable[Any], keys: int, arguments: tuple[Any, ...]) -> Any:
        try:
            return await sent
        except NoScriptError:
            return await self._client.execute_command("EVAL", self._text, keys, *arguments)


class _Line:
    """The connection: opened by the first command, and again by the first one after it broke."""

    def __init__(self, client: Redis) -> None:
        self._pool: Any = client.connection_pool
        options = self._pool.connection_kwargs
        self._patience_seconds = float(options.get("socket_timeout") or 5.0)
        self._connection: Any = None
        self._opening: asyncio.Task[None] | None = None
        self._reading: asyncio.Task[None] | None = None
        self._unsent: list[bytes] = []
        self._queued: list[_Waiting] = []
        self._pending: deque[_Waiting] = deque()
        self._is_scheduled = False
        self._read_at = 0.0

    def send(
        self, args: tuple[Any, ...], callback: Callable[..., Any] | None, options: dict[str, Any]
    ) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._unsent.append(self._packed(args))
        self._queued.append((future, callback, options))
        if self._connection is None:
            if self._opening is None:
                self._opening = asyncio.create_task(self._open())
        elif not self._is_scheduled:
            self._is_scheduled = True
            loop.call_soon(self._flush)
        return future

    def _packed(self, args: tuple[Any, ...]) -> bytes:
        if " " in args[0]:
            args = (*args[0].split(), *args[1:])
        try:
            packed: bytes = hiredis.pack_command(args)
        except TypeError:
            # Memory views and the like: rare here, and redis-py knows them all.
            encode = self._pool.get_encoder().encode
            packed = hiredis.pack_command((*map(encode, args),))
        return packed

    async def close(self) -> None:
        tasks = [task for task in (self._opening, self._reading) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _open(self) -> None:
        try:
            connection = await self._pool.get_connection()
        except RedisError as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - handed to every caller
            self._fail(LostError(f"no connection to Valkey: {error}"))
        else:
            self._connection = connection
            self._reading = asyncio.create_task(self._read(connection))
            self._flush()
        finally:
            self._opening = None

    def _flush(self) -> None:
        self._is_scheduled = False
        if self._connection is None or not self._queued:
            return
        if not self._pending:
            self._read_at = asyncio.get_running_loop().time()
        self._connection._writer.write(b"".join(self._unsent))
        self._pending.extend(self._queued)
        self._unsent.clear()
        self._queued.clear()

    async def _read(self, connection: Any) -> None:
        error: RedisError = LostError("the connection to Valkey is closed")
        watch = asyncio.create_task(self._watch(connection))
        try:
            await self._take_replies(connection._reader)
        except (OSError, LostError) as broken:
            error = LostError(f"the connection to Valkey broke: {broken}")
        finally:
            watch.cancel()
            self._connection = self._reading = None
            self._fail(LateError("Valkey did not answer in time") if self._is_late() else error)
            await connection.disconnect(nowait=True)
            await self._pool.release(connection)

    async def _take_replies(self, stream: asyncio.StreamReader) -> None:
        """Until the connection ends."""
        loop = asyncio.get_running_loop()
        parser = hiredis.Reader(protocolError=LostError, replyError=_error)
        while data := await stream.read(READ_BYTES):
            self._read_at = loop.time()
            parser.feed(data)
            while (reply := parser.gets()) is not False:
                if isinstance(reply, hiredis.PushNotification):
                    continue
                if not self._pending:
                    raise LostError("an answer that nobody asked for")
                _answer(self._pending.popleft(), reply)
                if isinstance(reply, _DEMOTED):
                    raise LostError(str(reply))

    async def _watch(self, connection: Any) -> None:
        """End a connection on which replies have been due for too long."""
        while True:
            await asyncio.sleep(self._patience_seconds / 4)
            if self._is_late():
                connection._writer.transport.abort()
                return

    def _is_late(self) -> bool:
        now = asyncio.get_running_loop().time()
        return bool(self._pending) and now - self._read_at >= self._patience_seconds

    def _fail(self, error: RedisError) -> None:
        waiting = [*self._pending, *self._queued]
        self._pending.clear()
        self._queued.clear()
        self._unsent.clear()
        for future, _, _ in waiting:
            if not future.done():
                future.set_exception(error)
                # Nobody may be waiting any more, and that is no fault.
                future.exception()


def _answer(waiting: _Waiting, reply: Any) -> None:
    future, callback, options = waiting
    if future.done():
        return
    if isinstance(reply, ResponseError | LostError):
        future.set_exception(reply)
        future.exception()  # as in `_fail`
        return
    options = {name: value for name, value in options.items() if name not in _NOT_FOR_CALLBACKS}
    try:
        future.set_result(callback(reply, **options) if callback else reply)
    except Exception as error:  # noqa: BLE001 - handed to the caller
        future.set_exception(error)


def _error(message: str) -> RedisError:
    kind = _ERRORS.get(message.partition(" ")[0], ResponseError)
    return kind(message)
