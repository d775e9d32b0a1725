"""The numbered lines that the derivations print, one per checked step."""

from __future__ import annotations

from itertools import count

_numbers = count(1)


def step(claim: str, holds: object) -> None:
    """Print a step of the derivation, or stop at the first that does not hold."""
    number = next(_numbers)
    assert bool(holds), f"step {number} fails: {claim}"
    print(f"{number:2d}. {claim}")
