"""What every benchmark hands in: rows, printed as a table and written as JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results"
GOAL = re.compile(r"(<=|>=|==) *(-?[\d.]+)")


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. `goal` is "<= 0.6", ">= 2" or "== 0"; None for information only."""

    name: str
    value: float | None
    unit: str
    goal: str | None = None

    @property
    def met(self) -> bool | None:
        """None without a goal; a figure that could not be taken misses its goal."""
        if self.goal is None:
            return None
        if self.value is None:
            return False
        sign, limit = parse_goal(self.goal)
        match sign:
            case "<=":
                return self.value <= limit
            case ">=":
                return self.value >= limit
            case _:
                return self.value == limit

    def as_dict(self) -> dict[str, object]:
        return {**asdict(self), "met": self.met}


def parse_goal(goal: str) -> tuple[str, float]:
    """The comparison and the limit of a goal.

    Raises:
        ValueError: it is not of the form "<= 0.6".
    """
    found = GOAL.fullmatch(goal.strip())
    if found is None:
        raise ValueError(f"not a goal: {goal!r}")
    return found[1], float(found[2])


def publish(
    name: str, rows: Sequence[Row], *, title: str, shown: Sequence[Row] | None = None
) -> Path:
    """Print the table and write `results/<name>.json`; returns the file's path.

    Args:
        shown: the rows of the table, where it would be too long with all of them.
    """
    print(f"\n{title}\n\n{table(rows if shown is None else shown)}\n")
    return write(name, rows)


def write(name: str, rows: Sequence[Row]) -> Path:
    """Write `results/<name>.json`; returns the file's path."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps([row.as_dict() for row in rows], indent=2) + "\n")
    print(f"written to {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")
    return path


def missed(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row.met is False]


def table(rows: Sequence[Row]) -> str:
    """The rows as aligned text."""
    lines = [("measure", "value", "unit", "goal", "met")]
    lines += [
        (row.name, figure(row.value), row.unit, row.goal or "", _MET[row.met]) for row in rows
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    rule = tuple("-" * width for width in widths)
    return "\n".join(_aligned(line, widths) for line in (lines[0], rule, *lines[1:]))


def figure(value: float | None) -> str:
    """A number with three significant digits, or all of its integer part."""
    if value is None:
        return "-"
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


_MET = {True: "yes", False: "NO", None: ""}


def _aligned(line: tuple[str, ...], widths: list[int]) -> str:
    """Text to the left, numbers to the right."""
    name, value, *rest = line
    cells = [name.ljust(widths[0]), value.rjust(widths[1])]
    cells += [cell.ljust(width) for cell, width in zip(rest, widths[2:], strict=True)]
    return "  ".join(cells).rstrip()
