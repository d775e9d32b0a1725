"""Integrands of spectral integrals as products of powers of linear factors and of polynomials in the eigenvalue."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sympy import Dummy, Expr, Mul, Poly, fraction, together

from collapse_theory.algebra.integrals import SpectralIntegral
from collapse_theory.core.errors import DomainError, shown
from collapse_theory.symbols import eigenvalue

__all__ = ["integrand_factors"]


@lru_cache(maxsize=4096)
def integrand_factors(f: Expr) -> tuple[Any, Any]:
    """Return an integrand as polynomials in the eigenvalue to a power, over ``lead*(s + at)`` to a power."""
    inside = {x: Dummy() for x in f.atoms(SpectralIntegral)}  # they have the eigenvalue in them, bound
    back = {name: x for x, name in inside.items()}
    numerator, denominator = fraction(together(f.xreplace(inside)))
    above = []
    for x in Mul.make_args(numerator):
        base, power = x.as_base_exp()
        if not power.is_Integer or power < 0:
            raise DomainError(f"no power-law asymptotics are known of an integrand with {shown(x)}")
        terms = Poly(base.expand(), eigenvalue).terms()
        above.append((tuple((k[0], c.xreplace(back)) for k, c in terms), int(power)))
    below = []
    for x in Mul.make_args(denominator):
        base, power = x.as_base_exp()
        if eigenvalue not in base.free_symbols:
            below.append((base.xreplace(back), None, int(power)))
            continue
        lead, at = (
            Poly(base.expand(), eigenvalue).all_coeffs() if base.as_poly(eigenvalue).degree() == 1 else (None, None)
        )
        if lead is None or not power.is_Integer:
            raise DomainError(f"no power-law asymptotics are known of an integrand over {shown(x)}")
        below.append((lead.xreplace(back), (at / lead).xreplace(back), int(power)))
    return tuple(above), tuple(below)
