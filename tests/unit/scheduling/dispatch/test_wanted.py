"""What a job asks of an endpoint."""

from __future__ import annotations

import json
from uuid import uuid4

from balancing.policies.prefixes import PrefixMemory
from balancing.policies.profiles import (
    affinity,
    least_connections,
    session_affinity,
)
from scheduling.dispatch.wanted import blocks, reads_prompt, wanted_of
from scheduling.specs import affinity_of, estimate_cost
from tests.hot_path import claimed

LONG = "word " * 2000


def body(*contents: str, **fields: object) -> str:
    messages = [{"role": "user", "content": content} for content in contents]
    return json.dumps({"model": "m", "messages": messages, **fields}, separators=(",", ":"))


def test_sizes_are_those_that_were_estimated() -> None:
    text = body("x" * 400)
    job = claimed(body=text, cost=estimate_cost(text, 100), affinity="k")

    wanted = wanted_of(job, least_connections, PrefixMemory(), model="m", tried=frozenset({1}))

    assert (wanted.input_tokens, wanted.output_tokens) == (len(text) // 4, 100)
    assert (wanted.affinity, wanted.tried) == ("k", frozenset({1}))
    assert wanted.prefix == ()


def test_only_profiles_that_look_at_it_have_the_prompt_hashed() -> None:
    assert reads_prompt(affinity)
    assert reads_prompt(session_affinity)
    assert not reads_prompt(least_connections)


def test_prompts_that_begin_alike_share_their_first_blocks() -> None:
    one, two = blocks(body(LONG, "one")), blocks(body(LONG, "two", temperature=1))

    assert len(one) == len(two) == 4
    assert one == two
    assert blocks(body("other " + LONG))[0] != one[0]


def test_a_block_stands_for_all_text_before_it() -> None:
    text = "a" * 2048 + "b" * 4096
    other = "c" * 2048 + "b" * 4096

    assert not set(blocks(body(text))) & set(blocks(body(other)))


def test_a_short_prompt_has_no_block() -> None:
    assert blocks(body("hello")) == ()


def test_what_served_a_prompt_is_remembered() -> None:
    memory, job = PrefixMemory(), claimed(body=body(LONG), cost=10.0)
    first = wanted_of(job, affinity, memory, model="m", tried=frozenset())
    memory.remember(first, 7)

    again = wanted_of(job, affinity, memory, model="m", tried=frozenset())

    assert first.cached == {}
    assert again.cached == {7: 4 * 512}


def test_sessions_of_tenants_are_not_mixed() -> None:
    one, two = uuid4(), uuid4()

    assert affinity_of(one, "s") == affinity_of(one, "s")
    assert affinity_of(one, "s") != affinity_of(two, "s")
    assert len(affinity_of(one, "s" * 10_000)) == 32
    assert affinity_of(one, "") == ""
