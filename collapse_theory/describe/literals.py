"""Numbers written into a pipeline, replaced by symbols.

Derivations work on symbols only: floats never enter the algebra, equal numbers give equal symbols (so that equal stages
stay equal), and pipelines that differ in numbers alone share one derivation. Exact zeros and ones stay, since they change
the structure (no ridge, no noise, unit weight).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sympy import Expr, Number, S, Symbol

from collapse_theory.describe.pipeline import Fit, OneOf, Pipeline, Sample, Source, Truth, rows_behind
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
            return e if e in (0, 1) and role != "T" else self._symbol(e, role)
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


def without_literals(pipeline: Pipeline, model: Fit) -> tuple[Pipeline, Fit, dict[Symbol, Expr]]:
    """Return what the tested fit depends on with symbols for numbers, and the number behind each symbol.

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

    def put(e: Expr | None, role: str) -> Expr | None:
        return None if e is None else literals.replace(e, role)

    out = Pipeline()
    copies = _Copies({}, {})
    for node in pipeline.nodes:
        if isinstance(node, Fit):
            if node in needed:
                weights = [literals.replace(a, "weight") for a in node.weights]
                pooled = [copies.samples[s] for s in node.samples]
                copies.fits[node] = out.fit(pooled, weights, put(node.ridge, "ridge"), node.name)
        elif node.index in behind or node.index in inputs:
            copies.samples[node] = _copied(node, out, copies, literals, only_inputs=node.index not in behind)
    return out, copies.fits[model], literals.numbers


@dataclass(frozen=True)
class _Copies:
    """The copy of each node copied so far."""

    samples: dict[Sample, Sample]
    fits: dict[Fit, Fit]


def _copied(s: Sample, out: Pipeline, copies: _Copies, literals: Literals, *, only_inputs: bool) -> Sample:
    def relabelled(labeller: Truth | Fit) -> Truth | Fit:
        return copies.fits[labeller] if isinstance(labeller, Fit) else labeller

    if s.pool:
        return out.subsample([copies.samples[p] for p in s.pool], literals.replace(s.T, "T"), s.name)
    where: dict[str, Any] = (
        {"T": literals.replace(s.T, "T")} if s.design is None else {"design": copies.samples[s.design]}
    )
    if only_inputs:
        return out.sample(**where, covariance=s.covariance, name=s.name)
    noise = None if s.noise is None else literals.replace(s.noise, "noise")
    source: Source | OneOf
    if isinstance(s.source, Source):
        source = Source(tuple((relabelled(labeller), c) for labeller, c in _coefficients(s.source, literals)))
    else:
        source = OneOf(tuple(relabelled(labeller) for labeller in s.source.labellers))
    return out.sample(**where, noise=noise, source=source, covariance=s.covariance, name=s.name)


def _coefficients(source: Source, literals: Literals) -> list[tuple[Truth | Fit, Expr]]:
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
