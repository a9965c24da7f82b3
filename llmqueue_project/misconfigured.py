"""What is wrong with a configuration, in sentences that name the setting and never its value."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import AliasChoices, BaseModel, ValidationError
from pydantic.fields import FieldInfo

PREFIX = "LLMQUEUE_"
# Other programs read these: the embedded stack, compose, the benchmarks, the tests.
OTHERS = frozenset(
    {"ADMIN_PASSWORD", "ADMIN_USER", "API_KEY", "BIND", "CONFIG", "FIELD_DOSE", "HOST", "PORT"}
    | {"TETHERED_TO", "TRUSTED_PROXIES", "URL", "WEB_WORKERS"}
)
# As near as a slip of the finger. Kubernetes sets variables of its own for a service `llmqueue`.
NEAR = 0.9


class Misconfigured(Exception):
    """The configuration cannot be used; the text has a sentence for each mistake."""


def problems(error: ValidationError, model: type[BaseModel]) -> Misconfigured:
    """The mistakes that a model's validation found."""
    return Misconfigured("; ".join(_sentence(each, model) for each in error.errors()))


def refuse_unreadable(path: str | None) -> None:
    """
    Raises:
        Misconfigured: the configuration file is missing, no YAML, or holds no settings.
    """
    if not path:
        return
    try:
        content = yaml.safe_load(Path(path).read_bytes())
    except OSError as error:
        raise Misconfigured(f"LLMQUEUE_CONFIG: {error.strerror}: {path}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise Misconfigured(f"LLMQUEUE_CONFIG: {path} is not YAML{line}") from None
    if content is not None and not isinstance(content, dict):
        raise Misconfigured(f"LLMQUEUE_CONFIG: {path} must hold settings by name")


def refuse_unknown(model: type[BaseModel], environment: Mapping[str, str] = os.environ) -> None:
    """Refuse variables that look like settings and are none; they would be ignored.

    Raises:
        Misconfigured
    """
    found = [
        _unknown(name, model.model_fields)
        for name in environment
        if name.upper().startswith(PREFIX)
    ]
    if said := [sentence for sentence in found if sentence]:
        raise Misconfigured("; ".join(said))


def _unknown(variable: str, settings: Mapping[str, FieldInfo]) -> str:
    """What is wrong with the name of a variable; empty if nothing is, or if it is not ours."""
    first, nested, rest = variable.upper().removeprefix(PREFIX).lower().partition("__")
    if first not in settings:
        near = get_close_matches(first, settings, n=1, cutoff=0.6 if nested else NEAR)
        is_ours = first.upper() not in OTHERS and (nested or near)
        better = [f"{PREFIX}{each}{nested}{rest}".upper() for each in near]
        return f"{variable} is no setting{_perhaps(better)}" if is_ours else ""
    alias = settings[first].validation_alias
    if isinstance(alias, AliasChoices):
        return f"{variable} is no setting; its name is {alias.choices[0]}"
    fields = getattr(settings[first].annotation, "model_fields", None)
    name = rest.partition("__")[0]
    if not nested or fields is None or name in fields:
        return ""
    near = get_close_matches(name, fields, n=1)
    better = [f"{PREFIX}{first}__{each}".upper() for each in near]
    return f"{variable} is no setting{_perhaps(better)}"


def _sentence(error: Mapping[str, Any], model: type[BaseModel]) -> str:
    place = [str(part) for part in error["loc"]]
    where = ".".join(place) or "configuration"
    if error["type"] != "extra_forbidden":
        return f"{where}: {error['msg'].removeprefix('Value error, ')}"
    near = get_close_matches(place[-1], _fields_at(model, place[:-1]), n=1)
    return f"{where} is no setting{_perhaps(near)}"


def _fields_at(model: type[BaseModel], path: Iterable[str]) -> Collection[str]:
    fields = model.model_fields
    for part in path:
        annotation = fields[part].annotation if part in fields else None
        fields = getattr(annotation, "model_fields", {})
    return list(fields)


def _perhaps(near: Collection[str]) -> str:
    return "".join(f"; did you mean {each}?" for each in near)
