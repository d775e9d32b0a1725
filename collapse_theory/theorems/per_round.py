"""Parameters that differ from round to round: one value for all, or a sequence with one value each."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sympy import Expr, Symbol

from collapse_theory.core.errors import PipelineError, shown
from collapse_theory.derive.formula import value_for

__all__ = ["per_round"]


def per_round(
    slug: str, count: int, given: Mapping[str, Any], each: Collection[Symbol], once: Collection[Symbol], unit: str
) -> dict[str, list[Expr]]:
    """Return the values of every parameter of a theorem, its symbol where none was given.

    Args:
        slug: The theorem.
        count: Number of rounds.
        given: Values by symbol name; a sequence has one value per round.
        each: Symbols that may differ from round to round.
        once: Symbols with one value.
        unit: What a round is called in messages.

    Raises:
        PipelineError: If a name is unknown or a sequence has another length.

    >>> from collapse_theory.symbols import T, sigma
    >>> per_round("ols-accumulate", 2, {"T": [20, 30]}, (T, sigma), (), "round")
    {'T': [20, 30], 'sigma': [sigma, sigma]}
    """
    known = {x.name: x for x in (*each, *once)}
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise PipelineError(f"{slug} has no parameter {shown(unknown[0])}; valid: {', '.join(sorted(known))}")
    values: dict[str, list[Expr]] = {}
    for name, x in known.items():
        one, wanted = given.get(name, x), count if x in each else 1
        listed = one if isinstance(one, (list, tuple)) else [one] * wanted
        if len(listed) != wanted:
            needs = f"one value per {unit} ({count})" if x in each else "one value"
            raise PipelineError(f"{name} needs {needs}, got {len(listed)}; give n values or one")
        values[name] = [value_for(x, value) for value in listed]
    return values
