"""Numbers written into a pipeline, replaced by symbols.

Derivations work on symbols only: floats never enter the algebra, equal numbers give equal symbols (so that equal stages
stay equal), and pipelines that differ in numbers alone share one derivation. Exact zeros and ones stay, since they change
the structure (no ridge, no noise, unit weight).
"""

from __future__ import annotations

from typing import Any

from sympy import Expr, Number, S, Symbol

from collapse_theory.describe.pipeline import Features, Fit, Labels, Pipeline, Sample, Source, Truth, rows_behind
from collapse_theory.symbols import literal

__all__ = ["Literals", "without_literals"]


class Literals:
    """The numbers met so far and the symbols that stand for them."""

    def __init__(self) -> None:
        self.symbols: dict[tuple[str, Expr], Symbol] = {}

    def replace(self, e: Expr, role: str) -> Expr:
        """Return ``e`` with a number replaced by the symbol of its role, floats inside expressions by plain numbers.

        >>> from sympy import Float, Integer
        >>> Literals().replace(Float(0.5), "noise"), Literals().replace(Integer(0), "ridge")
        (noise#1, 0)
        """
        if e.is_number:
            return e if e in (0, 1) and role not in {"T", "m"} else self._symbol(e, role)
        return e.xreplace({x: self._symbol(x, "number") for x in sorted(e.atoms(Number), key=str) if x.is_Float})

    def _symbol(self, number: Expr, role: str) -> Symbol:
        if number.is_negative:
            role = "number"
        used = sum(1 for r, _ in self.symbols if r == role)
        return self.symbols.setdefault((role, number), literal(role, used + 1))

    @property
    def numbers(self) -> dict[Symbol, Expr]:
        """The number behind each symbol."""
        return {symbol: number for (_, number), symbol in self.symbols.items()}


def without_literals(pipeline: Pipeline, model: Fit | Source) -> tuple[Pipeline, Any, dict[Symbol, Expr]]:
    """Return what the tested model depends on with symbols for numbers, and the number behind each symbol.

    >>> from collapse_theory.describe.workflows import accumulate
    >>> from collapse_theory.describe.pipeline import Stage
    >>> pipe = accumulate(2, Stage(T=15, noise=1.5))
    >>> copy, fit, numbers = without_literals(pipe, pipe.fits[-1])
    >>> fit.N, numbers
    (2*T#1, {T#1: 15, noise#1: 1.50000000000000})
    """
    literals = Literals()
    needed = pipeline.ancestors(model)
    behind = {s.index for f in needed for s in rows_behind(f.samples)}
    inputs = {s.inputs.index for s in pipeline.samples if s.index in behind}

    def kept(node: Sample | Fit | Features) -> bool:
        if isinstance(node, Fit):
            return node in needed
        if isinstance(node, Features):
            return any(f.features == node for f in needed)
        return node.index in behind or node.index in inputs

    out, copy = pipeline.copied(
        literals.replace,
        keep=kept,
        combined=lambda source: Source(tuple(_coefficients(source, literals))),
        bare=lambda s: s.index not in behind,
    )
    if isinstance(model, Source):
        tested: Any = Source(tuple((copy[x], c) for x, c in _coefficients(model, literals)))
    else:
        tested = copy[model]
    return out, tested, literals.numbers


def _coefficients(source: Source, literals: Literals) -> list[tuple[Truth | Fit | Labels, Expr]]:
    """Return a source's terms with symbols for numbers.

    Coefficients that sum to one up to the rounding of their decimals stay an average: the last is one minus the others,
    so that no bias is derived from round-off.
    """
    terms = [(labeller, literals.replace(c, "number")) for labeller, c in source]
    numbers = [c for _, c in source]
    if len(terms) > 1 and all(c.is_number for c in numbers) and abs(float(sum(numbers)) - 1) <= _ROUND_OFF:
        others = sum((c for _, c in terms[:-1]), S.Zero)
        terms[-1] = (terms[-1][0], 1 - others)
    return terms


_ROUND_OFF = 1e-15
