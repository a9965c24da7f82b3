"""What a process remembers of prompts that were sent."""

from __future__ import annotations

from balancing.policies.prefixes import BLOCK_TOKENS, PrefixMemory
from balancing.policies.snapshot import Wanted


def prompt(*blocks: str) -> Wanted:
    return Wanted("m", input_tokens=BLOCK_TOKENS * len(blocks), prefix=blocks)


def test_each_endpoint_holds_as_far_as_its_own_prompts_agree() -> None:
    memory = PrefixMemory()
    memory.remember(prompt("a", "ab", "abc"), 1)
    memory.remember(prompt("a", "ax"), 2)

    held = memory.cached(prompt("a", "ab", "abd"))

    assert held == {1: 2 * BLOCK_TOKENS, 2: BLOCK_TOKENS}


def test_a_block_in_the_middle_alone_saves_nothing() -> None:
    memory = PrefixMemory()
    memory.remember(prompt("a", "ab"), 1)
    memory.remember(prompt("b", "ab"), 2)

    assert memory.cached(prompt("b", "ab", "abc")) == {2: 2 * BLOCK_TOKENS}
    assert memory.cached(prompt("c")) == {}
    assert memory.cached(prompt()) == {}


def test_the_last_block_may_be_short() -> None:
    memory = PrefixMemory()
    memory.remember(prompt("a", "ab"), 1)

    assert memory.cached(Wanted("m", input_tokens=600, prefix=("a", "ab"))) == {1: 600}


def test_the_least_recently_used_is_forgotten() -> None:
    memory = PrefixMemory(size=2)
    memory.remember(prompt("a"), 1)
    memory.remember(prompt("b"), 1)
    memory.remember(prompt("a"), 2)
    memory.remember(prompt("c"), 1)

    assert memory.cached(prompt("a")) == {1: BLOCK_TOKENS, 2: BLOCK_TOKENS}
    assert memory.cached(prompt("b")) == {}
