"""Numbers written into a pipeline, replaced by symbols.

Derivations work on symbols only: floats never enter the algebra, equal numbers give equal symbols (so that equal stages
stay equal), and pipelines that differ in numbers alone share one derivation. Exact zeros and ones stay, since they change
the structure (no ridge, no noise, unit weight).
"""

from __future__ import annotations

from sympy import Expr, Number, Symbol

from collapse_theory.describe.pipeline import Fit, Pipeline, Sample, Source, rows_behind
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
    copy: dict[Sample | Fit, Sample | Fit] = {}
    for node in pipeline.nodes:
        if isinstance(node, Fit):
            if node in needed:
                weights = [literals.replace(a, "weight") for a in node.weights]
                pooled = [copy[s] for s in node.samples]
                copy[node] = out.fit(pooled, weights, put(node.ridge, "ridge"), node.name)
        elif node.index in behind or node.index in inputs:
            copy[node] = _copied(node, out, copy, literals, only_inputs=node.index not in behind)
    return out, copy[model], literals.numbers


def _copied(s: Sample, out: Pipeline, copy: dict, literals: Literals, *, only_inputs: bool) -> Sample:
    if s.pool:
        return out.subsample([copy[p] for p in s.pool], literals.replace(s.T, "T"), s.name)
    where = {"T": literals.replace(s.T, "T")} if s.design is None else {"design": copy[s.design]}
    if only_inputs:
        return out.sample(**where, covariance=s.covariance, name=s.name)
    noise = None if s.noise is None else literals.replace(s.noise, "noise")
    source = s.source
    if isinstance(source, Source):
        source = Source(tuple((copy.get(m, m), literals.replace(c, "number")) for m, c in source))
    else:
        source = type(source)(tuple(copy.get(m, m) for m in source.labellers))
    return out.sample(**where, noise=noise, source=source, covariance=s.covariance, name=s.name)
