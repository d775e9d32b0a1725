r"""The equation of each effective ridge that a formula refers to, :math:`\kappa` alone on the left, one unknown in each."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from sympy import Expr, Lt, Symbol
from sympy.logic.boolalg import Boolean

from collapse_theory.algebra.effective import EffectiveRidge, effective_ridge_equation
from collapse_theory.algebra.feature_scalars import FeatureRidge
from collapse_theory.algebra.integrals import SpectralIntegral, df
from collapse_theory.algebra.naming import named
from collapse_theory.algebra.opaque import Opaque
from collapse_theory.present.printer import TheoryLatexPrinter
from collapse_theory.symbols import d

__all__ = ["ridge_line", "ridge_lines", "used"]


def used(shown: Iterable[Expr], names: Mapping[Expr, Symbol]) -> set[Symbol]:
    """Return the names of effective ridges that a print refers to; an opaque object may refer to all."""
    found: set[Symbol] = set()
    for e in shown:
        if any(not isinstance(x, SpectralIntegral) and x.ridges for x in e.atoms(Opaque)):
            return set(names.values())
        found |= e.free_symbols
    return found & set(names.values())


def ridge_lines(
    names: Mapping[Expr, Symbol],
    shown: Collection[Symbol],
    conditions: Collection[Boolean],
    printer: TheoryLatexPrinter,
) -> list[str]:
    """Return a line for each effective ridge.

    Args:
        names: The names of the effective ridges.
        shown: The names that are referred to.
        conditions: What the formula assumes.
        printer: Prints the expressions.
    """
    lines = []
    for x, name in names.items():
        if name not in shown:
            continue
        if isinstance(x, FeatureRidge):  # the ridge of the features, by that of the inputs
            kappa, m = names[EffectiveRidge(x.args[1], x)], x.args[1]
            lines.append(f"{printer.doprint(name)} &= {printer.doprint(kappa * (1 - df(1, kappa) / m))}")
        else:
            T, lam = x.args
            own = lam if isinstance(lam, FeatureRidge) else named(lam, dict(names))
            lines.append(ridge_line(name, T, own, conditions, printer))
    return lines


def ridge_line(kappa: Symbol, T: Expr, lam: Expr, conditions: Collection[Boolean], printer: TheoryLatexPrinter) -> str:
    r"""Return :math:`\kappa=\lambda+\kappa\,\mathrm{df}_1(\kappa)/T`; without a ridge :math:`\mathrm{df}_1(\kappa)=T` or 0."""
    if isinstance(lam, FeatureRidge):
        return _feature_line(kappa, lam, printer)
    own = printer.doprint(kappa)
    if not lam.is_zero:
        equation = effective_ridge_equation(kappa, T, lam)
        return f"{own} &= {printer.doprint(kappa - equation.lhs)} + {printer.doprint(equation.rhs)}"
    few = Lt(T, d, evaluate=False)
    otherwise = "" if few in conditions else rf"\text{{ if }} {printer.doprint(few)} \text{{, else }} {own} = 0"
    return f"{printer.doprint(df(1, kappa))} &= {printer.doprint(T)} {otherwise}".rstrip()


def _feature_line(kappa: Symbol, features: Expr, printer: TheoryLatexPrinter) -> str:
    r"""Return :math:`\lambda=\kappa(1-\mathrm{df}_1/T)(1-\mathrm{df}_1/m)`, solved for its first factor."""
    T, m, lam = features.args
    explained = df(1, kappa)
    if lam.is_zero:
        return rf"{printer.doprint(explained)} &= \min\left({printer.doprint(T)}, {printer.doprint(m)}\right)"
    return f"{printer.doprint(kappa)} &= {printer.doprint(T * m * lam / ((T - explained) * (m - explained)))}"
