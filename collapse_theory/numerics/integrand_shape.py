"""What can be said of an integrand before it is computed: which ridge it depends on, and how many resolvents it is a product of."""

from __future__ import annotations

from functools import lru_cache

from sympy import Add, Expr, Mul, Pow, Symbol

from collapse_theory.numerics.compression import ORDER
from collapse_theory.symbols import Eigenvalue, eigenvalue

__all__ = ["is_product_of_few", "ridge_of"]


@lru_cache(maxsize=4096)
def ridge_of(f: Expr) -> Symbol | None:
    """Return the one symbol beside the common eigenvalue that an integrand depends on; None if there are none or several.

    >>> from collapse_theory.symbols import kappa
    >>> ridge_of(eigenvalue / (eigenvalue + kappa))
    kappa
    """
    others = f.free_symbols - {eigenvalue}
    if len(others) != 1 or any(isinstance(x, Eigenvalue) for x in others):
        return None
    return next(iter(others))


@lru_cache(maxsize=4096)
def is_product_of_few(f: Expr) -> bool:
    """Say whether an integrand is a sum of products of at most :data:`.ORDER` resolvents and powers of the eigenvalue.

    >>> from collapse_theory.symbols import kappa, n
    >>> is_product_of_few(eigenvalue**2 / (eigenvalue + kappa) ** 4), is_product_of_few(eigenvalue**n)
    (True, False)
    """
    degrees = _degrees(f)
    return degrees is not None and max(degrees) <= ORDER


def _degrees(f: Expr) -> tuple[int, int] | None:
    """Return the degrees of numerator and denominator in the eigenvalue, at most; None if it is no such function."""
    if not f.has(Eigenvalue):
        return 0, 0
    if isinstance(f, Eigenvalue):
        return (1, 0) if f == eigenvalue else None
    if isinstance(f, Pow) and f.exp.is_Integer:
        base, power = _degrees(f.base), int(f.exp)
        if base is None or base[1]:
            return None
        if power > 0:
            return base[0] * power, 0
        return (0, -power) if base[0] == 1 and _is_positive(f.base) else None
    if isinstance(f, Add | Mul):
        parts = [_degrees(a) for a in f.args]
        if any(p is None for p in parts):
            return None
        tops, bottoms = zip(*(p for p in parts if p is not None), strict=True)
        combine = max if isinstance(f, Add) else sum
        return combine(tops), combine(bottoms)
    return None


def _is_positive(base: Expr) -> bool:
    """Say whether a linear function of the eigenvalue is a sum of products without a sign, so that its zero is negative."""
    return all(a.as_coeff_Mul()[0] > 0 and not any(isinstance(x, Add) for x in a.args) for a in Add.make_args(base))
