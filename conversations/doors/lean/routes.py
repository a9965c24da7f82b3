"""Which handler answers a path, and which door does it belong to?

The folder of an API gives the lean application a `Door`: its routes and its error format. This
module does not change for it.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field

from conversations.doors.lean.backend import Backend
from conversations.doors.lean.refusals import ErrorFormat, Refusal
from conversations.doors.lean.wire import Exchange

Handler = Callable[[Backend, Exchange], Awaitable[None]]
_NAMED = re.compile(r"\\\{(\w+)(:path)?\\\}")
_SLASHES = re.compile("/{2,}")


@dataclass(frozen=True, slots=True)
class Route:
    """What answers one method at one path.

    Attributes:
        path: without a slash at its end. `{name}` stands for one part of the path, `{name:path}`
            for the rest of it; the exchange's `parameters` are what a request has there.
        is_counted: the metrics have a series for this path.
    """

    method: str
    path: str
    handler: Handler
    is_counted: bool = False


@dataclass(frozen=True, slots=True)
class Door:
    """One API: what it serves, and how it writes a refusal.

    Attributes:
        prefixes: this door refuses unknown paths that begin with one of these. Clients whose base
            URL lacks a prefix that ends in a slash, or has it twice, are served too.
    """

    routes: tuple[Route, ...]
    errors: ErrorFormat
    prefixes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """What a path leads to: its handlers by method; none if the path is unknown."""

    errors: ErrorFormat
    handlers: dict[str, Handler] = field(default_factory=dict)
    label: str = "other"

    def handler(self, method: str, path: str) -> Handler:
        """The handler of a method; `HEAD` is answered as `GET`.

        Raises:
            Refusal: there is none.
        """
        if not self.handlers:
            raise Refusal(404, "unknown_url", f"unknown path: {method} {path}")
        found = self.handlers.get("GET" if method == "HEAD" else method)
        if found is None:
            raise WrongMethod(path, list(self.handlers))
        return found


class WrongMethod(Refusal):
    """A path is asked by a method that it does not take."""

    def __init__(self, path: str, methods: Sequence[str]) -> None:
        super().__init__(405, "method_not_allowed", f"{path} takes {', '.join(methods)}")
        self._allowed = ", ".join([*methods, *(["HEAD"] if "GET" in methods else [])])

    @property
    def headers(self) -> list[tuple[str, str]]:
        return [*super().headers, ("allow", self._allowed)]


class Routes:
    """All doors' routes: exact paths are found in a table, patterns are tried in turn."""

    def __init__(self, doors: Sequence[Door]) -> None:
        self._exact: dict[str, Found] = {}
        self._patterns: list[tuple[re.Pattern[str], Found]] = []
        for path, found in _grouped(doors):
            if "{" in path:
                self._patterns.append((_pattern(path), found))
            else:
                self._exact[path] = found
        self._unknown = [(door.prefixes, Found(door.errors)) for door in doors]
        self._prefixes = tuple(prefix for door in doors for prefix in door.prefixes)
        self._bases = tuple(prefix for prefix in self._prefixes if prefix.endswith("/"))
        # The prefix "/v1/" includes the path "/v1".
        self._roots = {prefix.rstrip("/") for prefix in self._prefixes}
        # One expression for all patterns: each of Django's paths is matched against it.
        self._any_pattern = re.compile("|".join(p.pattern for p, _ in self._patterns) or "(?!)")

    def serves(self, path: str) -> bool:
        """Whether a path belongs to one of these doors, known or not."""
        path = _SLASHES.sub("/", path) if "//" in path else path
        return (
            path.startswith(self._prefixes)
            or path.rstrip("/") in self._exact
            or path in self._roots
            or self._any_pattern.fullmatch(path) is not None
        )

    def find(self, path: str) -> tuple[Found, tuple[str, ...]]:
        """What a path leads to, and its named parts. Surplus slashes and prefixes are ignored."""
        found = self._exact.get(path) or self._exact.get(path := self._usual(path))
        if found is not None:
            return found, ()
        for pattern, found in self._patterns:
            if match := pattern.fullmatch(path):
                return found, match.groups()
        return self._refusing(path), ()

    def _usual(self, path: str) -> str:
        """The path without surplus slashes, and with each door's prefix once."""
        path = _SLASHES.sub("/", path).rstrip("/")
        for prefix in self._bases:
            while path.startswith(prefix + prefix[1:]):
                path = path[len(prefix) - 1 :]
        return path

    def _refusing(self, path: str) -> Found:
        """Who refuses an unknown path: the door with its prefix, or else the first door."""
        owners = (found for prefixes, found in self._unknown if f"{path}/".startswith(prefixes))
        return next(owners, self._unknown[0][1])


def _grouped(doors: Sequence[Door]) -> Iterator[tuple[str, Found]]:
    for door in doors:
        for path in dict.fromkeys(route.path for route in door.routes):
            here = [route for route in door.routes if route.path == path]
            label = path if any(route.is_counted for route in here) else "other"
            found = Found(door.errors, {route.method: route.handler for route in here}, label)
            yield path, found
            for prefix in door.prefixes:
                if prefix.endswith("/") and path.startswith(prefix):
                    yield path[len(prefix) - 1 :], found


def _pattern(path: str) -> re.Pattern[str]:
    def part(named: re.Match[str]) -> str:
        return "(.+)" if named[2] else "([^/]+)"

    return re.compile(_NAMED.sub(part, re.escape(path)) + "/?", re.DOTALL)
