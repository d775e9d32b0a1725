r"""The elements of the recursion of :mod:`.cavity` as expressions, each intermediate result under a name.

A fit whose designs have one weight :math:`a` and the common covariance has one effective ridge: with :math:`T` of its
:math:`N` rows in them, :math:`\kappa=\kappa(T,\lambda N/aT)`. In the scale in which :math:`R_{kk}=(\Sigma+\kappa_k)^{-1}` the
penalty is :math:`\kappa_k` and :math:`L_{kk}=N/aT`, and nothing diverges without a ridge. With several weights
:math:`1/\kappa=\sum_Da_DT_D/(N\lambda+a_D\kappa\,\mathrm{df}_1(\kappa))`. With other covariances a fit has the equations of
:mod:`.resolvents`, in which :math:`\tau_g=L_{kk}` on the designs of one weight and covariance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from sympy import Add, Eq, Expr, S, Symbol
from sympy.core.symbol import Str

from collapse_theory import symbols
from collapse_theory.algebra.effective import EffectiveRidge
from collapse_theory.algebra.feature_scalars import FeatureRidge
from collapse_theory.algebra.integrals import OffsetForm, SpectralIntegral, SpectralTrace, df
from collapse_theory.algebra.printing import matrix_name
from collapse_theory.derive.cavity import FEATURES, OwnFit, Pair
from collapse_theory.derive.pooled import PooledFit, PooledSystem
from collapse_theory.describe.truths import Pair as Truths
from collapse_theory.symbols import Eigenvalue, eigenvalue, eigenvalue_of

__all__ = ["Expressions", "integrals_of", "names_in", "replaced"]

_SHORT = 4  # operations up to which an intermediate result needs no name


class Expressions:
    """Expressions in the parameters, the effective ridges and the eigenvalues."""

    def __init__(self, system: PooledSystem) -> None:
        self.system = system
        self.one = system.covariances == (eigenvalue.name,)
        self.ridges: dict[Expr, None] = {}
        self.equations: dict[Symbol, Eq] = {}
        self.definitions: dict[Symbol, Expr] = {}
        self._names: dict[Expr, Symbol] = {}
        self._own: dict[Any, OwnFit] = {}

    def number(self, e: Expr) -> Expr:
        """Return a parameter as it is."""
        return e

    def eigenvalue(self, covariance: str) -> Expr:
        """Return the bound eigenvalue."""
        return eigenvalue_of(covariance)

    def trace(self, f: Expr) -> Expr:
        """Return the opaque traces of the monomials in the matrices."""
        return integrals_of(SpectralTrace, f)

    def form(self, f: Expr, truths: Truths) -> Expr:
        """Return the opaque forms of the monomials in the matrices."""
        return integrals_of(partial(OffsetForm, first=Str(truths[0]), second=Str(truths[1])), f)

    # ------------------------------------------------------------------ a fit on its own
    def own(self, k: int) -> OwnFit:
        """Return a fit on its own; equal ones are the same."""
        f = self.system.fits[k]
        key = f.alone
        if key not in self._own:
            if {x.covariance for x in f.designs} != {eigenvalue.name}:
                found = self._several_scalars(f)
            else:
                found = self._one_ridge(f) if len({x.weight for x in f.designs}) == 1 else self._weighted(k, f)
            self._own[key] = self._short(k, found)
        return self._own[key]

    def _short(self, k: int, own: OwnFit) -> OwnFit:
        r"""Return a fit with a name for its kernel: :math:`A_k=\Sigma R_{kk}`, which is :math:`I-p_kR_{kk}`, on one covariance."""
        if self.one:
            A = self._name("A", (k,), eigenvalue * own.kernel)
            kept = 1 - A if own.penalty is None else own.penalty * A / eigenvalue
            return replace(own, kernel=A / eigenvalue, kept=kept)
        G = self._name("G", (k,), own.kernel)
        return replace(own, kernel=G, kept=own.kept / own.kernel * G)

    def _one_ridge(self, f: PooledFit) -> OwnFit:
        rows = sum((x.T for x in f.designs), S.Zero)
        mass = f.designs[0].weight * rows / f.N
        kappa = EffectiveRidge(rows, f.ridge / mass)
        if f.features is not None:
            kappa = EffectiveRidge(f.features.m, FeatureRidge(rows, f.features.m, f.ridge / mass))
        self.ridges.setdefault(kappa)
        size = len(f.designs)
        left = [mass * (1 - df(1, kappa) / rows)] * size
        kernel, kept = 1 / (eigenvalue + kappa), kappa / (eigenvalue + kappa)
        penalty = None if f.features is None else kappa
        return OwnFit(kernel, kept, [1 / mass] * size, [1] * size, left, penalty)

    def _weighted(self, k: int, f: PooledFit) -> OwnFit:
        name = symbols.implicit_scalar(len(self.equations) + 1)
        seen = {x.weight: f.N * f.ridge + x.weight * name * df(1, name) for x in f.designs}
        self.equations[name] = Eq(name, 1 / sum(x.weight * x.T / seen[x.weight] for x in f.designs), evaluate=False)
        response = {a: self._name("p", (k, str(i)), f.N * name / e) for i, (a, e) in enumerate(seen.items(), start=1)}
        return OwnFit(
            1 / (eigenvalue + name),
            name / (eigenvalue + name),
            [response[x.weight] for x in f.designs],
            [1] * len(f.designs),
            [f.ridge / name] * len(f.designs),
        )

    def _several_scalars(self, f: PooledFit) -> OwnFit:
        sights = list(dict.fromkeys((x.weight, x.covariance) for x in f.designs))
        names = {sight: symbols.implicit_scalar(len(self.equations) + n + 1) for n, sight in enumerate(sights)}
        load = sum(
            (x.weight * x.T / f.N * names[x.weight, x.covariance] * eigenvalue_of(x.covariance) for x in f.designs),
            S.Zero,
        )
        kernel = 1 / (1 + load)
        for (weight, covariance), name in names.items():
            seen = SpectralTrace(eigenvalue_of(covariance) * kernel)
            self.equations[name] = Eq(name, 1 / (f.ridge + weight / f.N * seen), evaluate=False)
        response = [names[x.weight, x.covariance] for x in f.designs]
        return OwnFit(kernel, kernel, response, [1] * len(f.designs), [f.ridge] * len(f.designs))

    # ------------------------------------------------------------------ between fits
    def coupled(
        self, pair: Pair, sights: Sequence[tuple[str, bool]], feedback: Callable[[int, int], Any], right: Sequence[Any]
    ) -> Sequence[Expr]:
        """Return the solution of the small linear system."""
        size = range(len(sights))
        matrix = [[S.Zero if (a := feedback(i, j)) is None else a for j in size] for i in size]
        if FEATURES in sights:
            return self._eliminated(pair, sights, matrix, right)
        if len(sights) == 1:
            return [right[0] / self.named("D", (*pair, *sights[0]), 1 - matrix[0][0])]
        return self._solved(pair, [[int(i == j) - matrix[i][j] for j in size] for i in size], right)

    def _eliminated(
        self, pair: Pair, sights: Sequence[tuple[str, bool]], matrix: list[list[Expr]], right: Sequence[Expr]
    ) -> list[Expr]:
        """Return the solution with the unknown on features, the last one, taken out first and named."""
        last, others = len(sights) - 1, range(len(sights) - 1)
        free = self.named("D", (*pair, *sights[last]), 1 - matrix[last][last])
        per = [self.named("a", (*pair, *sights[j]), matrix[last][j] / free) for j in others]
        inner = [[matrix[i][j] + matrix[i][last] * per[j] for j in others] for i in others]
        known = [right[i] + matrix[i][last] * right[last] / free for i in others]
        if len(others) == 1:
            found = [known[0] / self.named("D", (*pair, *sights[0]), 1 - inner[0][0])]
        else:
            found = self._solved(pair, [[int(i == j) - inner[i][j] for j in others] for i in others], known)
        return [*found, right[last] / free + sum(per[j] * found[j] for j in others)]

    def _solved(self, pair: Pair, rows: list[list[Expr]], right: Sequence[Expr]) -> list[Expr]:
        """Return the solution of a small system by Cramer's rule, its determinant named."""
        if not rows:
            return []
        whole = self.named("D", pair, _determinant(rows))
        return [
            _determinant([[right[i] if k == j else x for k, x in enumerate(row)] for i, row in enumerate(rows)]) / whole
            for j in range(len(rows))
        ]

    # ------------------------------------------------------------------ names
    def named(self, kind: str, index: tuple[Any, ...], e: Any) -> Any:
        """Return the name of a result that is not short; equal results of a kind share one."""
        if kind == "R" and self.one:
            return self._name("A", index, _expanded(eigenvalue * e)) / eigenvalue
        if kind in _MATRICES:
            return self._name(kind, index, _expanded(e))
        short = e is None or e.is_Atom or (kind not in _SUMS and e.count_ops() <= _SHORT)
        return e if short else self._name(kind, index, e)

    def _name(self, kind: str, index: tuple[Any, ...], e: Expr) -> Symbol:
        if e not in self._names:
            fits = [str(k + 1) for k in index[:2] if not isinstance(k, str)]
            about = [_index(str(x)) for x in index[len(fits) :] if x not in (eigenvalue.name, False)]
            name = f"{kind}_{{{','.join([('' if len(self.system.fits) < 10 else ',').join(fits), *about])}}}"
            make = Eigenvalue if kind in _MATRICES else symbols.intermediate
            while (x := make(name)) in self.definitions:
                name += "'"
            self._names[e] = x
            self.definitions[x] = e
        return self._names[e]

    def used(self, *results: Expr) -> dict[Symbol, Expr]:
        """Return the definitions that results need."""
        needed = set[Any]().union(*map(names_in, results))
        for x in reversed(self.definitions):
            if x in needed:
                needed |= names_in(self.definitions[x])
        return {x: e for x, e in self.definitions.items() if x in needed}


def _determinant(rows: Sequence[Sequence[Expr]]) -> Expr:
    """Return a determinant by its first column, entries left as they are."""
    if len(rows) == 1:
        return rows[0][0]
    minors = ([row[1:] for k, row in enumerate(rows) if k != i] for i in range(len(rows)))
    return Add(
        *((-1) ** i * row[0] * _determinant(minor) for i, (row, minor) in enumerate(zip(rows, minors, strict=True)))
    )


def _index(name: str) -> str:
    r"""Return what a name is about as an index: a covariance, a truth, the features as :math:`\phi`."""
    return r"\phi" if name == FEATURES[0] else matrix_name(Eigenvalue(name))


_MATRICES = frozenset("AGRFMJ")
_SUMS = frozenset("UY")
"""Kinds of scalars that are named even if they are short: they stand in many products."""


def integrals_of(kind: Callable[[Expr], Expr], f: Expr) -> Expr:
    """Return the integral of a polynomial in matrices, one by one for its monomials."""
    return Add(*(c * kind(matrices) for matrices, c in _multiplied_out(f).items()))


def _expanded(f: Expr) -> Expr:
    """Return a polynomial in matrices as a sum of products."""
    return Add(*(c * matrices for matrices, c in _multiplied_out(f).items()))


def _multiplied_out(f: Expr) -> dict[Expr, Expr]:
    """Return the coefficient of each product of matrices, scalars left as they are."""
    if not any(isinstance(x, Eigenvalue) for x in f.free_symbols):
        return {S.One: f}
    if f.is_Add:
        return _merged(item for term in f.args for item in _multiplied_out(term).items())
    base, exponent = f.as_base_exp()
    factors = f.args if f.is_Mul else [base] * int(exponent) if exponent.is_Integer and exponent > 1 else None
    if factors is None:
        return {f: S.One}
    product = {S.One: S.One}
    for factor in factors:
        product = _merged((x * y, a * b) for x, a in product.items() for y, b in _multiplied_out(factor).items())
    return product


def _merged(terms: Iterable[tuple[Expr, Expr]]) -> dict[Expr, Expr]:
    out: dict[Expr, Expr] = {}
    for matrices, c in terms:
        out[matrices] = out.get(matrices, S.Zero) + c
    return out


def names_in(e: Expr) -> set[Any]:
    """Return the names in an expression, those inside integrals included."""
    return e.atoms(Symbol) | {x for f in e.atoms(SpectralIntegral) for x in names_in(f.integrand)}


def replaced(e: Expr, known: Mapping[Expr, Expr]) -> Expr:
    """Return an expression with names replaced, inside integrals too, where matrices are bound."""
    integrals = {x: x.like(replaced(x.integrand, known)) for x in e.atoms(SpectralIntegral)}
    return e.xreplace({**known, **integrals})
