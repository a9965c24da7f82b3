"""How long may a request of `/v1` take, and how long may its client hear nothing of it?"""

from __future__ import annotations

import re

from conversations.doors.lean.refusals import Refusal
from conversations.doors.lean.wire import Exchange
from llmqueue_project.config_sections import SchedulingConfig, WebConfig

TIMEOUT, EARLY_HEADERS = "X-Timeout-Seconds", "X-Early-Headers"
# As they arrive.
_TIMEOUT, _EARLY_HEADERS = TIMEOUT.lower(), EARLY_HEADERS.lower()
LONGEST_SECONDS = 86_400.0
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
# OpenAI's SDKs tell how long they wait: Python's for the next byte, Node's for the headers.
_PATIENCE = ("x-stainless-read-timeout", "x-stainless-timeout")
# Nobody has chosen the SDKs' own default. Who chose more is to get it.
SDK_SECONDS = 600.0
# The answer is to be there before the client gives up, asks again and is served twice.
HEAD_START_SECONDS = 30.0


def timeout_seconds(exchange: Exchange, limits: SchedulingConfig) -> float:
    """From submit to answer: as the client asks, else as long as its SDK waits, if that is long.

    Raises:
        Refusal: the header is no number of seconds, or more than the settings allow.
    """
    longest = limits.max_timeout_seconds
    asked = exchange.header(_TIMEOUT)
    if asked:
        seconds = _number(asked)
        if not seconds or seconds > longest:
            raise _refusal(TIMEOUT, f"seconds, more than 0 and at most {longest:g}")
        return seconds
    patience = max(map(_number, map(exchange.header, _PATIENCE)))
    if patience <= SDK_SECONDS:
        return limits.default_timeout_seconds
    return max(limits.default_timeout_seconds, min(patience - HEAD_START_SECONDS, longest))


def early_headers_seconds(exchange: Exchange, config: WebConfig) -> float:
    """After so long without an answer its headers are sent; 0 sends them with the answer.

    Raises:
        Refusal: the header is no number of seconds.
    """
    asked = exchange.header(_EARLY_HEADERS)
    if not asked:
        return config.early_headers_seconds
    if not _SECONDS.fullmatch(asked) or float(asked) > LONGEST_SECONDS:
        raise _refusal(EARLY_HEADERS, f"seconds, 0 (off) to {LONGEST_SECONDS:g}")
    return float(asked)


def _refusal(header: str, wanted: str) -> Refusal:
    return Refusal(400, "invalid_header", f"{header} must be {wanted}", param=header)


def _number(text: str) -> float:
    """A plain number; 0 for anything else."""
    return float(text) if text and _SECONDS.fullmatch(text) else 0.0
