r"""The fixed point in closed form: effective ridges, then linear components solved by traces.

Every linear unknown over a space with covariance becomes a named scalar :math:`\theta_i`, given by traces of earlier
ones: a component of one obeys :math:`\theta=\operatorname{tr}\alpha(\Sigma)+\theta\operatorname{tr}\beta(\Sigma)`.
Unknowns over spaces without covariance are rational in the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sympy import Dummy, Eq, Expr, S, Symbol, factor, factor_terms, fraction, linsolve, together

from collapse_theory import symbols
from collapse_theory.algebra.integrals import SpectralTrace, df
from collapse_theory.engine.field import FunctionField
from collapse_theory.engine.fixed_point import Atom, solve
from collapse_theory.engine.implicit import ImplicitScalars, all_expressions, trace_over
from collapse_theory.engine.triangular import Structure, Unknown
from collapse_theory.symbols import eigenvalue

__all__ = ["ClosedForm", "implicit_values", "in_degrees_of_freedom", "solve_symbolic"]


_COMPACT = 120  # operations up to which a closed form is brought to its shortest form


@dataclass(frozen=True)
class ClosedForm:
    """The results of a pencil, with the definitions of the scalars in them.

    Attributes:
        results: Expression of each result in eigenvalues, parameters and scalars.
        definitions: The scalars given by traces, in an order in which each needs earlier ones only.
        ridges: The effective ridge behind each symbol that stands for one.
        equations: The equation of every other implicit scalar, by its symbol.
    """

    results: Mapping[str, Expr]
    definitions: Mapping[Symbol, Expr]
    ridges: Mapping[Symbol, Expr]
    equations: Mapping[Symbol, Eq]

    def explicit(self, name: str) -> Expr:
        """Return a result with the traces written out; what is left are effective ridges and implicit scalars.

        Traces obey linear relations, so one function has many forms. Two are tried, as they come and in degrees of
        freedom, and the shorter one is returned.
        """
        if sum(e.count_ops() for e in (*self.definitions.values(), self.results[name])) > _COMPACT:
            return self._nested(name)
        forms = [
            self._written_out(name, reduce).xreplace(dict(self.ridges)) for reduce in (_as_is, in_degrees_of_freedom)
        ]
        return min(forms, key=lambda e: e.count_ops())

    def _nested(self, name: str) -> Expr:
        """Return a result with definitions inserted as they are: what is too long to read need not be factored."""
        known: dict[Expr, Expr] = dict(self.ridges)
        for x, e in self.definitions.items():
            known[x] = e.xreplace(known)
        return self.results[name].xreplace(known)

    def _written_out(self, name: str, reduce: Callable[[Expr], Expr]) -> Expr:
        known: dict[Expr, Expr] = {}
        for x, e in self.definitions.items():
            known[x] = factor(reduce(e).xreplace(known))
        return factor(self.results[name].xreplace(known))


def _as_is(e: Expr) -> Expr:
    return e


def in_degrees_of_freedom(e: Expr) -> Expr:
    r"""Return ``e`` with traces over one pole written in degrees of freedom.

    With :math:`x=s/(s+\kappa)` a proper fraction with pole :math:`-\kappa` is a polynomial in :math:`x`, and its trace a
    combination of :math:`\mathrm{df}_k(\kappa)`.

    >>> from collapse_theory.symbols import eigenvalue as s, kappa
    >>> in_degrees_of_freedom(SpectralTrace(s / (s + kappa) ** 2))
    (-tr[Sigma**2/(Sigma + kappa)**2] + tr[Sigma/(Sigma + kappa)])/kappa
    """
    return e.xreplace({t: _reduced(t) for t in e.atoms(SpectralTrace)})


def _reduced(trace: SpectralTrace) -> Expr:
    if trace.bound_symbols != [eigenvalue]:
        return trace
    top, bottom = fraction(together(trace.integrand))
    base, order = bottom.as_base_exp()
    pole = -(base - eigenvalue)
    if not order.is_Integer or (not pole.is_symbol and not (-pole).is_symbol):
        return trace
    numerator = top.as_poly(eigenvalue)
    if numerator is None:
        return trace
    whole, rest = numerator.div(bottom.as_poly(eigenvalue))
    kappa, x = -pole, Dummy("x")
    powers = (rest.as_expr().subs(eigenvalue, kappa * x / (1 - x)) * ((1 - x) / kappa) ** order).cancel().as_poly(x)
    if whole.eval(0) + powers.eval(0) != 0:  # would need the dimension
        return trace
    out = sum((c * SpectralTrace(eigenvalue**power) for (power,), c in whole.terms() if power > 0), S.Zero)
    return factor_terms(out + sum((c * df(power, kappa) for (power,), c in powers.terms() if power > 0), S.Zero))


def implicit_values(structure: Structure) -> tuple[ImplicitScalars, dict[tuple[Unknown, ...], tuple[Expr, ...]]]:
    """Return the implicit scalars of a pencil and the unknowns of each needed atom in terms of them.

    Equal atoms have equal scalars, so one of each kind is analysed.
    """
    implicit = ImplicitScalars(structure)
    values: dict[tuple[Unknown, ...], tuple[Expr, ...]] = {}
    known: dict[Any, tuple[Expr, ...]] = {}
    for a in range(len(structure.atoms)):
        if (a, a) in structure.needed:
            atom = Atom.of(structure, a)
            key, order = atom.signature()
            if key not in known:
                x = implicit.values(atom)
                known[key] = tuple(x[n] for n in order)
            values[atom.unknowns] = tuple(x for _, x in sorted(zip(order, known[key], strict=True), key=lambda e: e[0]))
    return implicit, values


def solve_symbolic(structure: Structure) -> ClosedForm:
    """Return the closed form of a pencil's results."""
    implicit, values = implicit_values(structure)
    arithmetic = _Symbolic(structure, values)
    solution = solve(structure, arithmetic)
    pencil, results = structure.pencil, {}
    for name, i in pencil.inputs.items():
        entry = solution.green.get((pencil.outputs[name], i))
        results[name] = S.Zero if entry is None else arithmetic.field.expression(entry)
    used = _used(results.values(), arithmetic.definitions)
    definitions = {x: e for x, e in arithmetic.definitions.items() if x in used}
    ridges = {x: k for x, k in implicit.ridges.items() if x in used}
    return ClosedForm(results, definitions, ridges, dict(implicit.equations))


def _used(expressions: Iterable[Expr], definitions: Mapping[Symbol, Expr]) -> set[Expr]:
    used = {x for e in expressions for x in e.free_symbols}
    for x in reversed(definitions):
        if x in used:
            used |= definitions[x].free_symbols
    return used


class _Symbolic:
    """Elements of one field for the whole pencil."""

    def __init__(self, structure: Structure, atoms: Mapping[Any, tuple[Expr, ...]]) -> None:
        spectral = [
            u
            for pair in sorted(structure.needed)
            for u in structure.unknowns_by_pair.get(pair, ())
            if structure.pencil.covariances.get(u.dimension)
        ]
        self.covariances = structure.pencil.covariances
        traced = [
            u
            for unknowns, values in atoms.items()
            for u, e in zip(unknowns, values, strict=True)
            if e.has(SpectralTrace)
        ]
        self.names = {u: symbols.trace_scalar(n + 1) for n, u in enumerate(dict.fromkeys([*spectral, *traced]))}
        inputs = [
            *all_expressions(structure),
            *(e for values in atoms.values() for e in values if not e.has(SpectralTrace)),
        ]
        self.field = FunctionField(inputs, self.names.values())
        self.atoms = atoms
        self.definitions: dict[Symbol, Expr] = {}
        self.function = self.field.element

    def trace(self, dimension: Expr, f: Any) -> Any:
        """Return the trace over a space without covariance."""
        return self.field.element(dimension) * f

    def inverse(self, dimension: Expr, matrix: Sequence[Sequence[Any]]) -> Sequence[Sequence[Any]]:
        """Return the inverse of a small matrix."""
        del dimension
        return self.field.inverse(matrix)

    def nonlinear(self, atom: Atom) -> Sequence[Any]:
        """Return the unknowns of an atom in terms of the implicit scalars."""
        out = []
        for u, e in zip(atom.unknowns, self.atoms[atom.unknowns], strict=True):
            if e.has(SpectralTrace):
                self.definitions[self.names[u]] = e
                e = self.names[u]
            out.append(self.field.element(e))
        return out

    def linear(
        self, unknowns: Sequence[Unknown], constant: Sequence[Any], slope: Mapping[tuple[int, int], Any]
    ) -> Sequence[Any]:
        """Return named scalars for the spectral unknowns, and record what they are."""
        zero = self.field.element(S.Zero)
        weight = [self.field.element(u.weight) for u in unknowns]
        scalar = [n for n, u in enumerate(unknowns) if u not in self.names]
        kept = [n for n, u in enumerate(unknowns) if u in self.names]
        # x_n = tr[weight (constant + sum_k slope x_k)]; over spaces without covariance the trace is a factor
        factor = {n: self.trace(unknowns[n].dimension, weight[n]) for n in scalar}
        image = {
            n: [factor[n] * constant[n], *(factor[n] * slope.get((n, other), zero) for other in kept)] for n in scalar
        }
        if scalar:
            one = self.field.element(S.One)
            system = [
                [(one if n == other else zero) - factor[n] * slope.get((n, other), zero) for other in scalar]
                for n in scalar
            ]
            inverse = self.field.inverse(system)
            image = {
                n: [_dot(inverse[r], [image[other][c] for other in scalar]) for c in range(len(kept) + 1)]
                for r, n in enumerate(scalar)
            }
        rows = []
        for n in kept:
            row = [constant[n], *(slope.get((n, other), zero) for other in kept)]
            for other in scalar:
                if (n, other) in slope:
                    row = [x + slope[n, other] * y for x, y in zip(row, image[other], strict=True)]
            rows.append([weight[n] * x for x in row])
        values = self._define([unknowns[n] for n in kept], rows)
        out: dict[int, Any] = dict(zip(kept, values, strict=True))
        for n in scalar:
            out[n] = _dot(image[n][1:], values, start=image[n][0])
        return [out[n] for n in range(len(unknowns))]

    def _define(self, unknowns: Sequence[Unknown], rows: Sequence[Sequence[Any]]) -> list[Any]:
        """Record the scalars that solve ``x = tr row_0 + sum_k tr row_k x_k`` and return their names as elements."""
        if not unknowns:
            return []
        names = [self.names[u] for u in unknowns]
        traces = [
            [trace_over(u.dimension, self.field.expression(x)) for x in row]
            for u, row in zip(unknowns, rows, strict=True)
        ]
        if len(names) == 1:
            solution = [traces[0][0] / (1 - traces[0][1])]
        else:
            system = [
                x - row[0] - sum(c * y for c, y in zip(row[1:], names, strict=True))
                for x, row in zip(names, traces, strict=True)
            ]
            (solution,) = linsolve(system, names)
        self.definitions.update(zip(names, solution, strict=True))
        return [
            self.field.element(x) if value != 0 else self.field.element(S.Zero)
            for x, value in zip(names, solution, strict=True)
        ]


def _dot(a: Sequence[Any], b: Sequence[Any], start: Any = None) -> Any:
    out = start
    for x, y in zip(a, b, strict=True):
        out = x * y if out is None else out + x * y
    return out
