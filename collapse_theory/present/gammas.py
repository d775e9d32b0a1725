r"""Gamma and digamma terms as a reader knows them: written out, gathered, their arguments in one form.

:math:`x\Gamma(x)=\Gamma(x+1)` takes a factor into a Gamma function, after which equal ones cancel.
"""

from __future__ import annotations

from functools import lru_cache

from sympy import Add, Expr, Function, Mul, Rational, Symbol, cancel, gamma, polygamma

from collapse_theory.algebra.special import DigammaDifference, GammaRatio, GeometricSum
from collapse_theory.present.factors import factored

__all__ = ["FUNCTIONS", "gathered", "written_out"]

# SymPy's own would rewrite psi(1) as a constant of another name and Gamma(n) as a factorial.
_Gamma, _psi = Function("Gamma", real=True), Function("psi", real=True)
FUNCTIONS = (_Gamma, _psi)


def written_out(e: Expr) -> Expr:
    r"""Return ``e`` with ratios of Gamma functions, differences of digammas and geometric sums written out.

    >>> from sympy.abc import x
    >>> written_out(DigammaDifference(1, x) * GammaRatio(2, x))
    (-psi(1) + psi(x + 1))*Gamma(x + 2)
    """
    change: dict[Expr, Expr] = {}
    for f in e.atoms(DigammaDifference, GammaRatio, GeometricSum):
        x, h = (written_out(a) for a in f.args)
        if isinstance(f, GeometricSum):
            change[f] = (1 - factored(1 - x) ** h) / factored(x)
        elif isinstance(f, GammaRatio):
            change[f] = _gamma((x + h).expand()) / _gamma(x.expand())
        else:
            change[f] = _psi((x + h).expand()) - _psi(x.expand())
    out = e.xreplace(change)
    out = out.replace(gamma, lambda x: _gamma(x.expand()))
    return out.replace(polygamma, lambda k, x: _psi(x.expand()) if k == 0 else polygamma(k, x))


def _gamma(x: Expr) -> Expr:
    """Return the Gamma function, of an integer as the number that it is."""
    return gamma(x) if x.is_Integer else _Gamma(x)


def gathered(e: Expr) -> Expr:
    r"""Return ``e`` with factors taken into Gamma functions, from the inside out.

    >>> from sympy.abc import n
    >>> gathered(n * _Gamma(n) / _Gamma(n + 1))
    1
    """
    if not e.has(_Gamma) or isinstance(e, _Gamma):
        return e
    e = e.func(*map(gathered, e.args))
    return _absorbed(factored(e) if not e.is_Add else e) if e.is_Mul else e


def _absorbed(e: Expr) -> Expr:
    for g, power in _powers(e):
        if not isinstance(g, _Gamma) or abs(power) != 1:
            continue
        x = g.args[0]
        for f, k in _powers(e):
            if isinstance(f, _Gamma) or k == 0 or not k.is_Integer:
                continue
            for argument, sign, change in ((x, 1, x + 1), (x - 1, -1, x - 1)):
                c = _ratio(f, argument)
                if c is not None and k * sign * power > 0 and _above_zero(change):
                    # f = c x, so that f Gamma(x) = c Gamma(x + 1) and Gamma(x)/f = Gamma(x - 1)/c
                    return _absorbed(e / f ** (sign * power) / g**power * c ** (sign * power) * _Gamma(change) ** power)
    return e


def _above_zero(x: Expr) -> bool:
    """Return whether an argument is a number of rounds or a positive integer, up to what is less than one."""
    return bool(x.as_coeff_Add()[0] >= 1) or any(y.is_integer and not y.is_number for y in Add.make_args(x))


def _powers(e: Expr) -> list[tuple[Expr, Expr]]:
    return [x.as_base_exp() for x in Mul.make_args(e)]


@lru_cache(maxsize=1024)
def _ratio(f: Expr, x: Expr) -> Expr | None:
    """Return ``f/x`` if it is a number times a symbol's power."""
    if x.is_number or not f.free_symbols:
        return None
    c = cancel(f / x)
    if not x.is_Add and c.free_symbols & x.free_symbols:  # a factor that is none of x would come back below it
        return None
    return c if all(isinstance(y.as_base_exp()[0], Symbol | Rational) for y in Mul.make_args(c)) else None
