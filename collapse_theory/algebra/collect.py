r"""Sums of like integrals under one integral.

Differentiating :math:`\kappa^2w_0^\top\Sigma(\Sigma+\kappa)^{-2}w_0` term by term gives a difference that cancels where
:math:`\kappa\gg s`. Powers of the scalars in an integrand belong under the integral: there the sum is the one fraction
:math:`2\kappa\,w_0^\top\Sigma^2(\Sigma+\kappa)^{-3}w_0`, without a difference.
"""

from __future__ import annotations

from sympy import Add, Expr, Mul, Pow, S, Symbol

from collapse_theory.algebra.effective import EffectiveRidge, ResidualDegrees
from collapse_theory.algebra.integrals import SpectralIntegral

__all__ = ["collected", "of_squares", "spread"]


def collected(e: Expr) -> Expr:
    r"""Return ``e`` with terms that differ only in one integral and in powers of its scalars put under one integral.

    >>> from collapse_theory.algebra.integrals import QuadraticForm
    >>> from collapse_theory.symbols import eigenvalue as s, kappa
    >>> collected((kappa**2 * QuadraticForm(s / (s + kappa) ** 2)).diff(kappa))
    2*kappa*w0'[Sigma**2/(Sigma + kappa)**3]w0
    """
    if isinstance(e, (Add, Mul)) or e.is_Pow:
        e = e.func(*(collected(a) for a in e.args))
    return _merged(e) if isinstance(e, Add) else e


def spread(e: Expr) -> Expr:
    r"""Return ``e`` with every :math:`T/(T-\mathrm{df}_2)` written :math:`1+\mathrm{df}_2/(T-\mathrm{df}_2)`.

    The derivative of the quotient in T is a difference of two terms of order 1/T, whatever small share of the rows the fit
    uses; that of the sum is not.

    Args:
        e: A term.

    >>> from collapse_theory.symbols import T, lam
    >>> spread(T / ResidualDegrees(T, lam))
    1 + tr[Sigma**2/(Sigma + EffectiveRidge(T, lam))**2]/ResidualDegrees(T, lam)
    """
    if not isinstance(e, (Add, Mul)):
        return e
    factors = [spread(a) for a in e.args]
    for x in [a.base for a in factors if isinstance(e, Mul) and a.is_Pow and a.exp == -1]:
        if isinstance(x, ResidualDegrees) and x.args[0] in factors:
            T = x.args[0]
            factors.remove(T)
            factors.remove(1 / x)
            factors.append(1 + (T - x.doit()) / x)
    return e.func(*factors)


def of_squares(e: Expr, x: Symbol) -> Expr:
    r"""Return ``e`` with even powers of what may be negative, :math:`b^{2k}` where k depends on x, written :math:`(b^2)^k`.

    The derivative by x of the first has :math:`\log b` in it, which is not real; that of the second is.

    Args:
        e: A term.
        x: The symbol that it is to be differentiated by.

    >>> from collapse_theory.symbols import n, w
    >>> of_squares((w - 1) ** (2 * n), n).diff(n)
    (w - 1)**(2*n)*log((w - 1)**2)
    """
    even = [p for p in e.atoms(Pow) if x in p.exp.free_symbols and p.exp.is_even and not p.base.is_nonnegative]
    return e.xreplace({p: Pow(p.base**2, p.exp / 2, evaluate=False) for p in even})


def _merged(e: Add) -> Expr:
    terms = list(Add.make_args(e))
    done: list[Expr] = []
    while terms:
        first = terms.pop(0)
        for other in terms:
            both = _together(first, other)
            if both is not None:
                terms.remove(other)
                terms.insert(0, both)
                break
        else:
            done.append(first)
    return Add(*done)


def _together(a: Expr, b: Expr) -> Expr | None:
    """Return ``a + b`` as one integral times common factors, or None if they share none."""
    for x in _integrals(a):
        for y in _integrals(b):
            if (type(x), x.args[1:]) != (type(y), y.args[1:]):  # against different measures
                continue
            scalars = _scalars(x) | _scalars(y)
            (rest, inner), (other_rest, other_inner) = _split(a, x, scalars), _split(b, y, scalars)
            if rest == other_rest:
                # A common power stays outside, so that the integrand does not underflow where the scalar vanishes.
                common = Mul(*(s ** min(_power(inner, s), _power(other_inner, s)) for s in sorted(scalars, key=str)))
                integrand = x.integrand * inner / common + y.integrand * other_inner / common
                return Mul(rest, common, x.like(integrand))
    return None


def _integrals(e: Expr) -> list[SpectralIntegral]:
    return [x for x in Mul.make_args(e) if isinstance(x, SpectralIntegral)]


def _scalars(x: SpectralIntegral) -> set[Expr]:
    """Return the effective ridges and symbols in the integrand."""
    ridges = x.integrand.atoms(EffectiveRidge)
    return set(ridges) if ridges else set(x.free_symbols)


def _split(term: Expr, x: SpectralIntegral, scalars: set[Expr]) -> tuple[Expr, Expr]:
    """Return the factors of ``term / x`` that must agree, and its number and integer powers of the scalars."""
    factors = list(Mul.make_args(term))
    factors.remove(x)
    inner = [f for f in factors if f.is_Rational or (f.as_base_exp()[0] in scalars and f.as_base_exp()[1].is_Integer)]
    return Mul(*(f for f in factors if f not in inner)), Mul(*inner)


def _power(factor: Expr, scalar: Expr) -> Expr:
    return factor.as_powers_dict().get(scalar, S.Zero)
