"""The Lua scripts of slots, rate limits and live state: one file each in `balancing/live/lua/`."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from redis.asyncio import Redis

_FOLDER = files("balancing.live") / "lua"
_PRELUDE = (_FOLDER / "prelude.lua").read_text()


def script(client: Redis, name: str) -> Any:
    """The script `lua/<name>.lua` after the prelude, to be called with `keys` and `args`."""
    return client.register_script(_PRELUDE + (_FOLDER / f"{name}.lua").read_text())
