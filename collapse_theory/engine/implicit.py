r"""The nonlinear unknowns of an equivalent, in as few implicit scalars as possible.

Within an atom the traces over spaces without covariance are rational functions of the others, so one trace per
covariance is left, or a smallest set that cuts all cycles. If a single one is left and its equation is

.. math:: \kappa-\lambda=\kappa\,\mathrm{df}_1(\kappa)/T

after a rational change of variable, the atom is solved by the effective ridge :math:`\kappa(T,\lambda)`; atoms with equal
:math:`(T,\lambda)` then share one scalar. Otherwise the unknowns stay, with their equations.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from sympy import Dummy, Eq, Expr, Symbol, cancel, factor, fraction

from collapse_theory import symbols
from collapse_theory.algebra.effective import EffectiveRidge
from collapse_theory.algebra.integrals import SpectralTrace
from collapse_theory.engine.field import FunctionField
from collapse_theory.engine.fixed_point import Atom
from collapse_theory.engine.triangular import Structure, Unknown
from collapse_theory.symbols import Eigenvalue, eigenvalue

__all__ = ["ImplicitScalars", "all_expressions", "trace_over"]


@dataclass
class ImplicitScalars:
    """The implicit scalars of a pencil, found atom by atom.

    Attributes:
        structure: The structure they belong to.
        ridges: The effective ridge behind each symbol that stands for one.
        equations: The equation of every other scalar, by its symbol.
    """

    structure: Structure
    ridges: dict[Symbol, Expr] = field(default_factory=dict)
    equations: dict[Symbol, Eq] = field(default_factory=dict)

    def values(self, atom: Atom) -> tuple[Expr, ...]:
        """Return the atom's unknowns as rational functions of parameters and implicit scalars."""
        if not atom.unknowns:
            return ()
        spectral = tuple(u for u in atom.unknowns if self._is_spectral(u))
        by_traces = _Reduction.of(atom, _cut(atom, spectral), frozenset(spectral))
        solved = self._effective_ridge(by_traces)
        if solved is None:
            # Scalars of the spaces without covariance name the answer best, if the traces are functions of them.
            by_scalars = _Reduction.of(atom, _cut(atom, ()), frozenset(spectral))
            by_traces = by_traces if by_scalars.nested else by_scalars
            solved = self._named(by_traces)
        return tuple(by_traces.value(u, solved) for u in atom.unknowns)

    def _is_spectral(self, u: Unknown) -> bool:
        return bool(self.structure.pencil.covariances.get(u.dimension))

    # ------------------------------------------------------------------ one effective ridge
    def _effective_ridge(self, by: _Reduction) -> dict[Symbol, Expr] | None:
        """Return the unknown in terms of an effective ridge, if it has one."""
        if len(by.kept) != 1 or by.field.roots:
            return None
        ((u, t),) = by.kept.items()
        if self.structure.pencil.covariances.get(u.dimension) != (eigenvalue.name,):
            return None
        f = by.field.expression(by.images[u])
        denominator = fraction(f)[1].as_poly(eigenvalue)
        if denominator.degree() != 1:
            return None
        slope, offset = denominator.all_coeffs()
        x = Dummy("kappa")
        change = (offset - x * slope).as_poly(t)
        if change is None or change.degree() != 1:
            return None
        a, b = change.all_coeffs()
        value = cancel(-b / a)
        numerator = cancel(f.xreplace({t: value}) * (eigenvalue + x)).as_poly(eigenvalue)
        if numerator is None or numerator.degree() > 1:
            return None
        # f = constant + weight * s/(s + x), so that t = constant*d + weight*df1(x) and df1 = rows - rows*ridge/x
        constant = numerator.coeff_monomial(1) / x
        weight = cancel(numerator.coeff_monomial(eigenvalue) - constant)
        line = cancel((value - constant * u.dimension) / weight * x).as_poly(x) if weight != 0 else None
        if line is None or line.degree() != 1:
            return None
        rows = line.coeff_monomial(x)
        ridge = cancel(-line.coeff_monomial(1) / rows)
        if x in ridge.free_symbols | rows.free_symbols:
            return None
        return {t: value.xreplace({x: self._ridge_symbol(factor(rows), factor(ridge))})}

    def _ridge_symbol(self, rows: Expr, ridge: Expr) -> Symbol:
        kappa = EffectiveRidge(rows, ridge)
        for symbol, known in self.ridges.items():
            if known == kappa:
                return symbol
        name = symbols.effective_ridge_scalar(len(self.ridges) + 1)
        self.ridges[name] = kappa
        return name

    # ------------------------------------------------------------------ any other unknowns
    def _named(self, by: _Reduction) -> dict[Symbol, Expr]:
        """Name the unknowns and record their equations."""
        taken = {x.name for e in all_expressions(self.structure) for x in e.free_symbols}
        index = 1
        out: dict[Symbol, Expr] = {}
        scale: dict[Unknown, Expr] = {}
        for u, t in by.kept.items():
            while (
                (name := symbols.implicit_scalar(index)).name in taken or name in self.equations or name in out.values()
            ):
                index += 1
            scale[u] = by.scale(u)
            out[t] = name / scale[u]
            index += 1
        traces = {
            p: trace_over(u.dimension, factor(by.expression(by.images[u]).xreplace(out))) for u, p in by.derived.items()
        }
        for u, t in by.kept.items():
            f = by.expression(by.images[u])
            name = out[t] * scale[u]
            value = (
                trace_over(u.dimension, factor(f.xreplace(out)))
                if self._is_spectral(u)
                else factor(u.dimension * f.xreplace(out))
            )
            self.equations[name] = Eq(name, factor(scale[u] * value).xreplace(traces), evaluate=False)
        return out


class _Reduction:
    """The unknowns of one atom in terms of a few that are kept.

    Attributes:
        field: Where the elimination takes place.
        kept: The symbol of each kept unknown.
        derived: The symbol of the trace of each spectral unknown that is not kept.
        images: What the trace of each kept or derived unknown is taken of.
        nested: Whether the trace of a derived unknown depends on another one.
    """

    def __init__(self, atom: Atom, kept: Sequence[Unknown], spectral: frozenset[Unknown]) -> None:
        self.atom = atom
        self.kept = {u: Dummy(f"t{n}") for n, u in enumerate(kept)}
        self.derived = {u: Dummy(f"p{n}") for n, u in enumerate(atom.unknowns) if u in spectral and u not in self.kept}
        self.field = FunctionField(_expressions(atom), [*self.kept.values(), *self.derived.values()])
        arithmetic = _Algebra(self.field)
        element = self.field.element
        self.values = {u: element(x) for u, x in {**self.kept, **self.derived}.items()}
        green: dict[tuple[int, int], Any] = {}
        for p in _order(atom, kept):
            green.update(atom.block(arithmetic, p, self.values))
            for u in atom.unknowns:
                if u.dimension == p and u not in self.values:  # a space without covariance: the weight is 1
                    self.values[u] = element(p) * green[u.row, u.column]
        self.images = {u: element(u.weight) * green[u.row, u.column] for u in {**self.kept, **self.derived}}

    @classmethod
    def of(cls, atom: Atom, kept: Sequence[Unknown], spectral: frozenset[Unknown]) -> _Reduction:
        """Return the reduction of an atom's unknowns to the kept ones."""
        return cls(atom, kept, spectral)

    @property
    def nested(self) -> bool:
        """Whether a trace would stand inside another one."""
        inner = set(self.derived.values())
        return any(self.expression(self.images[u]).free_symbols & inner for u in self.derived)

    def expression(self, x: Any) -> Expr:
        """Return an element as an expression."""
        return self.field.expression(x)

    def value(self, u: Unknown, solved: Mapping[Symbol, Expr]) -> Expr:
        """Return an unknown in terms of the implicit scalars."""
        e = self.expression(self.values[u]).xreplace(dict(solved))
        traces = {
            p: trace_over(v.dimension, self.expression(self.images[v]).xreplace(dict(solved)))
            for v, p in self.derived.items()
        }
        return cancel(e).xreplace(traces)

    def scale(self, u: Unknown) -> Expr:
        """Return the factor an unknown is named with: as it enters ``M`` if it does so once, else a normalised trace."""
        feeds = [f for f in self.atom.feeds if f.unknown == u]
        if len(feeds) > 1:
            return 1 / u.dimension
        bound = [x for x in feeds[0].factor.free_symbols if isinstance(x, Eigenvalue)]
        return -feeds[0].factor.as_independent(*bound, as_Add=False)[0] if bound else -feeds[0].factor


class _Algebra:
    """The part of the arithmetic that a single block needs."""

    def __init__(self, field_: FunctionField) -> None:
        self.field = field_
        self.function = field_.element

    def inverse(self, dimension: Expr, matrix: Sequence[Sequence[Any]]) -> Sequence[Sequence[Any]]:
        """Return the inverse of a small matrix."""
        del dimension
        return self.field.inverse(matrix)


def trace_over(dimension: Expr, f: Expr) -> Expr:
    """Return the trace of a function of the covariances of one space, whatever its dimension is called."""
    constant = not any(isinstance(x, Eigenvalue) for x in f.free_symbols)
    return dimension * f if constant else SpectralTrace(f)


def _expressions(atom: Atom) -> Iterable[Expr]:
    yield from atom.fixed.values()
    yield from atom.groups
    for f in atom.feeds:
        yield from (f.factor, f.unknown.weight)


def all_expressions(structure: Structure) -> Iterable[Expr]:
    """Yield every expression of the parameters and eigenvalues that a pencil has."""
    yield from structure.pencil.dimensions
    for block in structure.pencil.blocks.values():
        yield block.fixed
    for f in structure.feeds:
        yield from (f.factor, f.unknown.weight)


def _feeding(atom: Atom) -> dict[Expr, set[Unknown]]:
    """Return the unknowns that each space's block depends on."""
    out: dict[Expr, set[Unknown]] = {p: set() for p in atom.groups}
    space = {i: p for p, g in atom.groups.items() for i in g}
    for f in atom.feeds:
        out[space[f.i]].add(f.unknown)
    return out


def _order(atom: Atom, kept: Sequence[Unknown]) -> list[Expr]:
    """Return the spaces in an order in which each depends on earlier ones and kept unknowns; raise if there is none."""
    feeding = _feeding(atom)
    out: list[Expr] = []
    while len(out) < len(feeding):
        ready = [p for p, us in feeding.items() if p not in out and all(u in kept or u.dimension in out for u in us)]
        if not ready:
            raise ValueError("the kept unknowns do not cut every cycle")
        out += ready
    return out


def _cut(atom: Atom, spectral: Sequence[Unknown]) -> tuple[Unknown, ...]:
    """Return the spectral unknowns and as few others as cut every cycle, diagonal entries of G before others."""
    others = sorted((u for u in atom.unknowns if u not in spectral), key=lambda u: u.row != u.column)
    for size in range(len(others) + 1):
        for extra in combinations(others, size):
            kept = (*spectral, *extra)
            try:
                _order(atom, kept)
            except ValueError:
                continue
            return kept
    return atom.unknowns
