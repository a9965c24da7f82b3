"""How is each app built? Files, floors, imports between files, imports upwards, and circles.

`python .ci/structure.py [--rooms] [app ...]`. A file stands one floor above the highest file that
it imports. An import goes upwards when its folder stands below the other in the app's `layers`
contract (pyproject.toml). Migrations and empty `__init__.py` files do not count.
"""

from __future__ import annotations

import argparse
import ast
import re
import tomllib
from collections.abc import Container, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
APPS = ("conversations", "scheduling", "balancing", "stores", "llmqueue_project")
LEAST_LINES_OF_A_PACKAGE = 10


@dataclass(frozen=True)
class App:
    """An app's modules by name, and whom each imports within the app."""

    name: str
    imports: dict[str, set[str]]
    rooms: frozenset[str]
    layers: tuple[str, ...] = ()

    @cached_property
    def arrows(self) -> list[tuple[str, str]]:
        return [(one, other) for one, found in self.imports.items() for other in sorted(found)]

    @cached_property
    def reached(self) -> dict[str, set[str]]:
        """All that a module imports, directly or through others."""
        reached = {name: set(found) for name, found in self.imports.items()}
        for through in reached:
            for found in reached.values():
                if through in found:
                    found |= reached[through]
        return reached

    @cached_property
    def circles(self) -> list[list[str]]:
        """Modules that import each other, directly or through others."""
        found = {
            tuple(sorted(other for other in self.reached[name] if name in self.reached[other]))
            for name in self.imports
        }
        return sorted(list(circle) for circle in found if circle)

    @cached_property
    def floors(self) -> dict[str, int]:
        """By module; the modules of a circle share theirs."""
        floors: dict[str, int] = {}

        def floor(name: str) -> int:
            if name not in floors:
                below = [one for one in self.reached[name] if name not in self.reached[one]]
                floors[name] = 1 + max(map(floor, below), default=0)
            return floors[name]

        for name in self.imports:
            floor(name)
        return floors

    @cached_property
    def upwards(self) -> list[tuple[str, str]]:
        """Imports from a lower layer into a higher one."""
        place = {layer: number for number, layer in enumerate(self.layers)}
        return [
            (one, other)
            for one, other in self.arrows
            if (lower := self._layer(one)) and (higher := self._layer(other))
            if place[lower] > place[higher]
        ]

    def _layer(self, module: str) -> str:
        """The layer that a module belongs to; empty without one."""
        return next((one for one in self.layers if f"{module}.".startswith(f"{one}.")), "")

    def __str__(self) -> str:
        upwards = str(len(self.upwards)) if self.layers else "-"
        counts = (len(self.rooms), max(self.floors.values(), default=0), len(self.arrows))
        return f"{self.name:<17}" + "".join(
            f"{each:>9}" for each in (*counts, upwards, len(self.circles))
        )


def read(root: Path, name: str, layers: tuple[str, ...] = ()) -> App:
    """The app in the folder of this name."""
    trees: dict[str, ast.Module] = {}
    rooms = set()
    for path in sorted((root / name).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if "migrations" in parts:
            continue
        module = ".".join(parts).removesuffix(".__init__")
        text = path.read_text(encoding="utf-8")
        trees[module] = ast.parse(text)
        if path.name != "__init__.py" or len(text.splitlines()) >= LEAST_LINES_OF_A_PACKAGE:
            rooms.add(module)
    imports = {
        module: (set(_imported(tree, trees.keys())) & trees.keys()) - {module}
        for module, tree in trees.items()
    }
    return App(name, imports, frozenset(rooms), layers)


def _imported(tree: ast.Module, modules: Container[str]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in modules else node.module


def contracts(root: Path) -> dict[str, tuple[str, ...]]:
    """By app, its layers from the top, as import-linter is told them."""
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    found: dict[str, tuple[str, ...]] = {}
    for contract in settings["tool"]["importlinter"]["contracts"]:
        if contract["type"] != "layers":
            continue
        (container,) = contract.get("containers", [""])
        layers = [
            f"{container}.{layer}".strip(".")
            for line in contract["layers"]
            for layer in re.findall(r"[\w.]+", line)
        ]
        if len(apps := {layer.partition(".")[0] for layer in layers}) == 1:
            found[apps.pop()] = tuple(layers)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("apps", nargs="*", default=APPS)
    parser.add_argument("--rooms", action="store_true", help="every file with its floor")
    options = parser.parse_args()
    layers = contracts(ROOT)
    print(f"{'app':<17}    rooms   floors   arrows  upwards  circles")
    for app in (read(ROOT, name, layers.get(name, ())) for name in options.apps):
        print(app)
        for circle in app.circles:
            print(f"    circle: {', '.join(circle)}")
        for one, other in app.upwards:
            print(f"    upwards: {one} -> {other}")
        for room in sorted(app.rooms, key=lambda room: (-app.floors[room], room)):
            if options.rooms:
                print(f"    {app.floors[room]:2} {room}: {', '.join(sorted(app.imports[room]))}")


if __name__ == "__main__":
    main()
