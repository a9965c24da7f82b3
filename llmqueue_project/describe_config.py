"""What may be set, as a page? `python -m llmqueue_project.describe_config [--check]`.

Writes docs/configuration.md from the models in `config.py` and `config_sections.py`. With
`--check` it only says whether the page is current.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import AliasChoices, BaseModel, SecretStr
from pydantic.fields import FieldInfo

from llmqueue_project.config import ROOT, Config

PAGE = ROOT / "docs" / "configuration.md"
PREFIX = "LLMQUEUE_"
WORDS: dict[Any, str] = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "`true` or `false`",
    SecretStr: "secret",
    Path: "path",
    Any: "any value",
}
INTRODUCTION = """\
# Configuration

<!-- Written by `python -m llmqueue_project.describe_config` from
llmqueue_project/config.py and config_sections.py. -->

Every setting is an environment variable. The same settings can stand in a YAML file named by
`LLMQUEUE_CONFIG`, with the sections below as keys (`scheduling: {lease_seconds: 20}`); the
environment wins over the file. Lists and maps are written as JSON in the environment
(`LLMQUEUE_WEB__ALLOWED_HOSTS='["llm.example.com"]'`). A value of the wrong type, or one that is
unsafe in production, stops the process at start-up with a message that names it.

Settings that the model endpoints need live in PostgreSQL instead and change at run time: see
"Adding a real endpoint" in the [README](../README.md#adding-a-real-endpoint).
"""


def page() -> str:
    """The whole page, Markdown."""
    parts = [INTRODUCTION, "## Project\n", _table(Config, PREFIX)]
    for name, model in _sections(Config):
        table = _table(model, f"{PREFIX}{name.upper()}__")
        parts += [f"## `{name}`\n", f"{_summary(model)}\n", table]
    return "\n".join(parts)


def main(arguments: list[str]) -> int:
    text = page()
    if "--check" not in arguments:
        PAGE.write_text(text, encoding="utf-8")
        return 0
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == text:
        return 0
    sys.stderr.write("docs/configuration.md is not current: run `make docs`\n")
    return 1


def _sections(model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    for name, field in model.model_fields.items():
        if section := _section(field):
            yield name, section


def _section(field: FieldInfo) -> type[BaseModel] | None:
    kind: Any = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _summary(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split())


def _table(model: type[BaseModel], prefix: str) -> str:
    rows = [
        f"| `{_variable(name, field, prefix)}` | {_type(field.annotation)}{_bounds(field)} "
        f"| {_default(field)} | {field.description or ''} |"
        for name, field in model.model_fields.items()
        if not _section(field)
    ]
    return "\n".join(["| variable | type | default | meaning |", "|---|---|---|---|", *rows, ""])


def _variable(name: str, field: FieldInfo, prefix: str) -> str:
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        return str(alias.choices[0])
    return f"{prefix}{name.upper()}"


def _type(annotation: Any) -> str:
    """A type in an operator's words."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (Union, UnionType):
        return " or ".join(_type(part) for part in arguments if part is not NoneType)
    if origin is list:
        return f"list of {_type(arguments[0])}"
    if origin is dict:
        return f"map of {_type(arguments[0])} to {_type(arguments[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"`{{{', '.join(annotation.model_fields)}}}`"
    return WORDS[annotation]


def _bounds(field: FieldInfo) -> str:
    signs = {Gt: ">", Ge: ">=", Lt: "<", Le: "<="}
    found = [
        f"{signs[type(rule)]} {getattr(rule, type(rule).__name__.lower())}"
        for rule in field.metadata
        if type(rule) in signs
    ]
    return f", {' and '.join(found)}" if found else ""


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if isinstance(value, SecretStr):
        return "for development only"
    if value is None or value == "":
        return "none"
    if isinstance(value, Path):
        return f"`{value.relative_to(ROOT)}`"
    if isinstance(value, bool | list | dict):
        return f"`{json.dumps(value)}`"
    return f"`{value}`"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
