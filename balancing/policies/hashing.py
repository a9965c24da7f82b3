"""Where does a key belong? Rendezvous hashing: the same answer in every worker, without state.

Every endpoint draws a number from the key and its own name; the highest is the key's home. When
an endpoint joins or leaves, only the keys whose home it becomes or was move: 1 / n of them.
Source: Thaler and Ravishankar, Using Name-Based Mappings to Increase Hit Rates (1998); weights as
in Schindelhauer and Schomaker, Weighted Distributed Hash Tables (2005).
"""

from __future__ import annotations

from hashlib import blake2b


def draw(key: str, name: str) -> float:
    """A number between 0 and 1, always the same for a key and a name."""
    digest = blake2b(f"{key}\0{name}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") + 0.5) / 2**64


def weighted_draw(key: str, name: str, weight: float) -> float:
    """The same, such that the highest of several is proportional to the weights; 0 < weight."""
    return float(draw(key, name) ** (1.0 / weight))
