"""Which endpoint is the home of a key? Every worker finds the same one, by rendezvous hashing.

Each endpoint gets a number from the key and its own name; the endpoint with the highest number is
the key's home. When an endpoint joins or leaves, only its own share of the keys moves: 1 / n.
Source: Thaler and Ravishankar, Using Name-Based Mappings to Increase Hit Rates (1998); weights as
in Schindelhauer and Schomaker, Weighted Distributed Hash Tables (2005).
"""

from __future__ import annotations

from hashlib import blake2b


def draw(key: str, name: str) -> float:
    """A number between 0 and 1, always the same for the same key and name."""
    digest = blake2b(f"{key}\0{name}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") + 0.5) / 2**64


def weighted_draw(key: str, name: str, weight: float) -> float:
    """The same, with the chance to be the highest in proportion to the weights; 0 < weight."""
    return float(draw(key, name) ** (1.0 / weight))
