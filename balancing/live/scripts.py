"""The Lua that keeps slots and live state, one script a file in `balancing/live/lua/`."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from redis.asyncio import Redis

_FOLDER = files("balancing.live") / "lua"
_PRELUDE = (_FOLDER / "prelude.lua").read_text()


def script(client: Redis, name: str) -> Any:
    """`lua/<name>.lua`, ready to be called with `keys` and `args`; the prelude comes first."""
    return client.register_script(_PRELUDE + (_FOLDER / f"{name}.lua").read_text())
