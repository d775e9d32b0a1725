"""Short names of the effective ridges in a formula, for printing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sympy import Eq, Expr, Function, Lt, S, Symbol, factor_terms
from sympy.logic.boolalg import Boolean

from collapse_theory import symbols
from collapse_theory.algebra.atomic_ridge import AtomicResidual, AtomicRidge
from collapse_theory.algebra.atomic_spectrum import AtomicFeatureResidual, AtomicFeatureRidge
from collapse_theory.algebra.canonical import aspect_ratios, in_ratios, readable
from collapse_theory.algebra.effective import EffectiveRidge, ResidualDegrees, effective_ridge_equation
from collapse_theory.algebra.feature_scalars import FeatureResidual, FeatureRidge, feature_ridge_equation
from collapse_theory.algebra.integrals import df
from collapse_theory.algebra.opaque import Opaque
from collapse_theory.algebra.secular import SecularScalar, visible

__all__ = ["brackets", "implicit_equations", "named", "ridge_names"]


def ridge_names(e: Expr) -> dict[Function, Symbol]:
    r"""Return a symbol for each effective ridge: :math:`\kappa` alone or for the tested fit, :math:`\kappa_0` for a generator.

    >>> from collapse_theory.symbols import T, T0, lam, lam0
    >>> list(ridge_names(EffectiveRidge(T, lam) + EffectiveRidge(T0, lam0)).values())
    [kappa, kappa_0]
    """
    taken = {x.name for x in e.free_symbols}
    features = dict.fromkeys(FeatureRidge(*x.args) for x in e.atoms(FeatureRidge, FeatureResidual))
    features |= dict.fromkeys(AtomicFeatureRidge(*x.args) for x in e.atoms(AtomicFeatureRidge, AtomicFeatureResidual))
    if len(features) == 1:  # a fit on random features: kappa is that of the inputs, kappa_1 that of the features
        (own,) = features
        first = symbols.unshared(symbols.kappa, taken)
        second = symbols.unshared(symbols.indexed(symbols.kappa, 1), {*taken, first.name})
        return {
            own.inputs if isinstance(own, AtomicFeatureRidge) else EffectiveRidge(own.args[1], own): first,
            own: second,
        }
    ridges = e.atoms(EffectiveRidge, AtomicRidge) | {AtomicRidge(*x.args) for x in e.atoms(AtomicResidual)}
    ridges |= {EffectiveRidge(*x.args) for x in e.atoms(ResidualDegrees)}
    found: dict[Function, None] = dict.fromkeys(sorted(ridges, key=_by_generation))
    for c in _hiding(e):
        found |= dict.fromkeys(c.ridges)
    if len(found) == 1:
        return dict.fromkeys(found, symbols.unshared(symbols.kappa, taken))
    generator = symbols.indexed(symbols.kappa, 0)
    standard = {(symbols.T, symbols.lam): symbols.kappa} | {(symbols.T0, x): generator for x in (symbols.lam0, S.Zero)}
    names: dict[Function, Symbol] = {}
    for x in found:
        role = standard.get(_fit(x)) or symbols.indexed(symbols.kappa, sum(_fit(y) not in standard for y in names) + 1)
        names[x] = symbols.unshared(role, {*taken, *(y.name for y in names.values())})
    return names


def _by_generation(x: Function) -> tuple[Any, ...]:
    """Return what sorts effective ridges: numbers of a pipeline stand in the order in which they were written."""
    return tuple(
        int(a.name.split("#")[1]) if a.is_Symbol and symbols.is_literal(a) else 0 for a in _fit(x)
    ), x.sort_key()


def _fit(x: Function) -> tuple[Expr, Expr]:
    """Return rows and ridge of the fit that an effective ridge belongs to."""
    return _fit(x.args[-1]) if isinstance(x.args[-1], FeatureRidge) else (x.args[0], x.args[-1])


def named(e: Expr, names: dict[Function, Symbol], ratios: Iterable[Eq] = ()) -> Expr:
    """Return ``e`` with residual degrees of freedom written out and effective ridges by their short names.

    Args:
        e: A term.
        names: The short names.
        ratios: Definitions of the aspect ratios to write, where the spectrum has one eigenvalue.
    """
    out = e.xreplace({x: x.written for x in e.atoms(SecularScalar)})
    out = out.xreplace({x: x.doit() for x in out.atoms(FeatureResidual, AtomicFeatureResidual)})
    out = out.xreplace({x: x.doit() for x in out.atoms(ResidualDegrees)})
    out = readable(out, ratios)
    return out.xreplace({x: x.definition(*x.args) for x in out.atoms(AtomicResidual)}).xreplace(names)


def implicit_equations(e: Expr, conditions: Iterable[Boolean] = ()) -> tuple[Eq, ...]:
    r"""Return the defining equation of each effective ridge in ``e``, with the short names.

    Without a ridge and known to have fewer rows than directions it is :math:`\mathrm{df}_1(\kappa)=T`, whose root is not zero.
    """
    names = ridge_names(e)
    others = dict.fromkeys(
        Eq(*(named(side, names) for side in eq.args), evaluate=False) if isinstance(c, SecularScalar) else eq
        for c in _hiding(e)
        for eq in c.equations
    )
    ratios = aspect_ratios(e)
    ridges = (
        _atomic_equation(x, names, ratios, conditions)
        if isinstance(x, AtomicRidge)
        else x.equation(name, names[x.inputs])
        if isinstance(x, AtomicFeatureRidge)
        else feature_ridge_equation(name, symbols.kappa, x.args[0], x.args[2])
        if isinstance(x, FeatureRidge)
        else Eq(df(1, name), x.args[0])
        if x.args[1].is_zero and Lt(x.args[0], symbols.d) in conditions
        else effective_ridge_equation(name, *(named(a, names) for a in x.args))
        for x, name in names.items()
    )
    return (*ridges, *ratios, *others)


def _atomic_equation(
    x: AtomicRidge, names: dict[Function, Symbol], ratios: Iterable[Eq], conditions: Iterable[Boolean]
) -> Eq:
    """Return the root of one eigenvalue, or the polynomial equation of more."""
    if len(x.eigenspaces) == 1:
        return Eq(names[x], factor_terms(in_ratios(named(x.doit(), names), ratios)), evaluate=False)
    eq = x.equation(names[x])
    left, right = (named(side, names) for side in eq.args)
    if x.args[-1].is_zero and Lt(x.args[0], x.rank) in conditions:  # the root is not zero
        left, right = left / names[x], right / names[x]
    return Eq(left, right, evaluate=False)


def brackets(names: dict[Function, Symbol]) -> list[tuple[Expr, Symbol, Expr]]:
    """Return for each root of a polynomial of higher degree its lower bound, its name, and its upper bound."""
    roots = [(x, name) for x, name in names.items() if isinstance(x, AtomicRidge) and len(x.eigenspaces) > 1]
    return [(named(x.bracket[0], names), name, named(x.bracket[1], names)) for x, name in roots]


def _hiding(e: Expr) -> list[Any]:
    """Return the opaque objects to whose inner ridges a print refers."""
    return [x for x in visible(e, Opaque) if x.ridges or x.equations]
