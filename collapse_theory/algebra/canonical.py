r"""Closed forms on one eigenvalue as one factored fraction: to compute with, and to read.

A term on one eigenvalue :math:`s` is rational in the parameters, the effective ridges :math:`\kappa`, their residuals and powers
by generation. :func:`canonical` factors it as such and keeps what is evaluated without cancellation, :func:`readable` writes the
residuals out in :math:`s+\kappa`, where most terms become short.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from sympy import Add, Dummy, Eq, Expr, Mul, Poly, Pow, S, Symbol, collect, expand, factor, together

from collapse_theory import symbols
from collapse_theory.algebra.atomic_ridge import AtomicResidual, AtomicRidge
from collapse_theory.algebra.effective import ImplicitRidge, Residual
from collapse_theory.algebra.special import GeometricSum

__all__ = ["aspect_ratios", "canonical", "in_ratios", "readable"]


_READ = 600  # operations beyond which nobody reads a term, and factoring it takes long


def canonical(e: Expr) -> Expr:
    """Return a term as one factored fraction, or as it is if that is shorter.

    >>> from collapse_theory.symbols import T0, d, n
    >>> canonical((1 - (T0 / d) ** n) * (d - T0) / (d**2 * (1 - T0 / d)))
    (1 - (T0/d)**n)/d
    """
    if e.count_ops() > _READ:
        return e
    names = _Names()
    out, powers = names.powers(e, canonical)
    out = names.all(names.all(out, GeometricSum), Residual)
    shifted = out.xreplace({s + x: names(s + x) for x in _lone(out) for s, _ in x.eigenspaces})
    forms = [factor(together(names.all(x, ImplicitRidge))) for x in dict.fromkeys((shifted, out))]
    ridges = [x for y, x in names.given.items() if isinstance(y, ImplicitRidge)]
    terms = e.func(*map(canonical, e.args)) if isinstance(e, Add) else e
    return min(*(names.back(_oriented(x, e, ridges, powers)) for x in forms), terms, key=lambda x: x.count_ops())


def readable(e: Expr, ratios: Iterable[Eq]) -> Expr:
    r"""Return a term as one factored fraction in :math:`s+\kappa` and aspect ratios.

    Args:
        e: A term.
        ratios: Their definitions, of :func:`aspect_ratios`.

    >>> from collapse_theory.symbols import T, d, lam, sigma
    >>> variance = sigma**2 * d / ((1 + AtomicRidge(T, 1, d, lam)) ** 2 * AtomicResidual(T, 1, d, lam))
    >>> readable(variance, aspect_ratios(variance)).xreplace({AtomicRidge(T, 1, d, lam): symbols.kappa})
    phi*sigma**2/(-phi + (kappa + 1)**2)
    """
    ridges = _lone(e)
    if not ridges or e.count_ops() > _READ:
        return e
    names = _Names()
    sums = {x: names(GeometricSum(readable(x.args[0], ratios), x.args[1])) for x in e.atoms(GeometricSum)}
    explicit = e.xreplace(sums)
    explicit = explicit.xreplace({x: x.definition(*x.args) for x in explicit.atoms(AtomicResidual)})
    out, powers = names.powers(explicit, lambda x: readable(x, ratios))
    shifts = [(x, s, names(x + s)) for x in ridges for s, _ in x.eigenspaces]
    out = names.all(out.xreplace({x: u - s for x, s, u in shifts}), ImplicitRidge)
    out = in_ratios(out, ratios)
    whole = factor(together(out))
    forms = [whole, collect(expand(out), powers, factor) if powers else whole]
    if isinstance(out, Add):
        forms.append(Add(*(factor(together(x)) for x in out.args)))
    bases = [u for *_, u in shifts]
    found = min((_oriented(_collected(x, bases), e, bases, powers) for x in forms), key=lambda x: x.count_ops())
    return names.back(found.xreplace({u - s: x for x, s, u in shifts}))


def aspect_ratios(e: Expr) -> tuple[Eq, ...]:
    r"""Return :math:`\phi=d/T` for the symbols of rows behind the effective ridges of one eigenvalue.

    >>> from collapse_theory.symbols import T, d, lam
    >>> aspect_ratios(AtomicRidge(T, 1, d, lam))
    (Eq(phi, d/T),)
    """
    taken = {x.name for x in e.free_symbols}
    found: dict[Symbol, Eq] = {}
    for x in _lone(e):
        rows, _, directions, _ = x.args
        if rows.is_Symbol and directions.is_Symbol and rows not in found:
            role = symbols.phi0 if rows == symbols.T0 else symbols.phi
            phi = symbols.unshared(role, {*taken, *(eq.lhs.name for eq in found.values())})
            found[rows] = Eq(phi, directions / rows, evaluate=False)
    return tuple(found.values())


def in_ratios(e: Expr, ratios: Iterable[Eq]) -> Expr:
    """Return an expression with rows written by aspect ratios."""
    parts = ((eq.lhs, *eq.rhs.as_numer_denom()) for eq in ratios)
    return e.xreplace({rows: directions / phi for phi, directions, rows in parts})


def _lone(e: Expr) -> list[AtomicRidge]:
    """Return the effective ridges of one eigenvalue, in order, also those behind residuals."""
    found = e.atoms(AtomicRidge) | {AtomicRidge(*x.args) for x in e.atoms(AtomicResidual)}
    return sorted((x for x in found if len(x.eigenspaces) == 1), key=lambda x: x.sort_key())


class _Names:
    """Symbols that stand for parts of an expression while it is factored."""

    def __init__(self) -> None:
        self.given: dict[Expr, Dummy] = {}

    def __call__(self, x: Expr) -> Dummy:
        return self.given.setdefault(x, Dummy(positive=True))

    def all(self, e: Expr, kind: type[Expr]) -> Expr:
        """Return the expression with a symbol for each part of a kind."""
        return e.xreplace({x: self(x) for x in sorted(e.atoms(kind), key=lambda x: x.sort_key())})

    def powers(self, e: Expr, form: Callable[[Expr], Expr]) -> tuple[Expr, list[Dummy]]:
        """Return the expression with a symbol for each power by generation, its base brought to a form, and the symbols."""
        found = sorted((x for x in e.atoms(Pow) if not x.exp.is_number), key=lambda x: x.sort_key())
        change = {x: self(Pow(form(x.base), x.exp)) for x in found}
        return e.xreplace(change), list(change.values())

    def back(self, e: Expr) -> Expr:
        """Return the expression with what the symbols stand for."""
        return e.xreplace({name: x for x, name in self.given.items()})


def _collected(e: Expr, variables: Sequence[Symbol]) -> Expr:
    """Return products with their sums as polynomials in some symbols."""
    if isinstance(e, Add):
        return e.func(*(_collected(x, variables) for x in e.args))
    powers = (x.as_base_exp() for x in Mul.make_args(e))
    return Mul(
        *((collect(base, variables) if isinstance(base, Add) else base) ** exponent for base, exponent in powers)
    )


def _oriented(e: Expr, before: Expr, leading: Sequence[Symbol], powers: Sequence[Symbol]) -> Expr:
    """Return products whose sums have the sign in which they are positive, as far as that shows.

    Args:
        e: A product, or a sum of them.
        before: The expression it comes from, whose sums are as they are meant.
        leading: Symbols that are large.
        powers: Symbols of powers by generation, which are at most one.
    """
    if isinstance(e, Add):
        return e.func(*(_oriented(x, before, leading, powers) for x in e.args))
    known, out = before.atoms(Add), S.One
    for x in Mul.make_args(e):
        base, exponent = x.as_base_exp()
        if isinstance(base, Add) and exponent.is_Integer and _turned(base, known, leading, powers):
            out *= (-1) ** exponent
            base = -base
        out *= base**exponent
    return out


def _turned(base: Expr, known: set[Expr], leading: Sequence[Symbol], powers: Sequence[Symbol]) -> bool:
    """Return whether a sum is to be written with the opposite sign."""
    constant = base.as_coeff_Add()[0]
    if base.free_symbols & set(powers) and constant:
        return bool(constant.is_negative)
    if base in known or -base in known:
        return base not in known
    for x in leading:
        if x in base.free_symbols:
            return bool(Poly(base, x).LC().could_extract_minus_sign())
    return False
