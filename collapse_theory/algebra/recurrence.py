r"""First-order recursions ``x_k = a_k x_{k-1} + b_k`` solved in symbolic ``n``.

Three shapes occur and each has one closed form: ``a`` and ``b`` constant (geometric), ``a = 1`` (a sum), and a fixed
point ``b_k/(1 - a_k)`` that does not depend on ``k`` (a product, in Gamma functions where ``a_k`` has roots in closed
form).

Source: infinite products in Gamma functions, Whittaker, Watson, A Course of Modern Analysis, ch. 12.
"""

from __future__ import annotations

from sympy import (
    Add,
    Expr,
    Mul,
    Poly,
    Product,
    S,
    Symbol,
    apart,
    cancel,
    factor,
    gamma,
    gammasimp,
    harmonic,
    oo,
    roots,
    summation,
)

from collapse_theory.algebra.special import GammaRatio

__all__ = ["affine", "limit_of_sum", "product_limit", "solve_affine"]


def affine(after: Expr, before: Symbol) -> tuple[Expr, Expr]:
    """Return ``a`` and ``b`` of ``after = a*before + b``.

    Raises:
        AssertionError: If a round is not affine in the variance before it; every family's round is.

    >>> from sympy.abc import c, T
    >>> affine(c + (1 - c) / T, c)
    ((T - 1)/T, 1/T)
    """
    numerator, denominator = cancel(after).as_numer_denom()
    assert before not in denominator.free_symbols
    p = Poly(numerator, before)
    assert p.degree() <= 1
    return factor(p.coeff_monomial(before) / denominator), factor(p.coeff_monomial(1) / denominator)


def solve_affine(a: Expr, b: Expr, k: Symbol, n: Symbol, start: Expr = S.Zero, first: int = 1) -> Expr:
    """Return ``x_n`` for ``x_{first-1} = start`` and ``x_k = a x_{k-1} + b``.

    Args:
        a: Factor, may depend on ``k``.
        b: Offset, may depend on ``k``.
        k: The running index.
        n: The last index.
        start: The value before the first round.
        first: Index of the first round.

    >>> from sympy.abc import k, n, q
    >>> solve_affine(q, 1 - q, k, n)
    1 - q**n
    """
    if cancel(a - 1) == 0:
        return start + (b * (n - first + 1) if k not in b.free_symbols else _sum(b, k, first, n))
    fixed = factor(b / (1 - a))
    assert k not in fixed.free_symbols
    if k not in a.free_symbols:
        return fixed + (start - fixed) * a ** (n - first + 1)
    return fixed + (start - fixed) * _product(a, k, first, n)


def limit_of_sum(value: Expr, n: Symbol) -> Expr:
    """Return harmonic numbers and powers at ``n = oo``; they are written without differences of divergent terms."""
    return value.subs(n, oo)


def product_limit(a: Expr, k: Symbol, first: int) -> Expr:
    r"""Return ``prod_{k >= first} a_k``.

    With ``a_k = prod (k - x_i)/prod (k - y_j)`` it is ``prod Gamma(first - y)/prod Gamma(first - x)`` if
    ``sum x = sum y``, and 0 if ``sum x > sum y`` (Stirling). A product without closed roots is returned as it is.

    >>> from sympy import Symbol
    >>> T, k = Symbol("T", positive=True), Symbol("k", positive=True, integer=True)
    >>> product_limit(1 - 1 / (T * k**2), k, 1)
    sqrt(T)*sin(pi/sqrt(T))/pi
    """
    split = _split(a, k)
    if split is None:
        return Product(a, (k, first, oo))
    zeros, poles = split
    excess = cancel(Add(*zeros) - Add(*poles))
    if excess != 0:
        assert excess.is_positive
        return S.Zero
    return gammasimp(_gammas(zeros, poles, first))


def _product(a: Expr, k: Symbol, first: int, n: Symbol) -> Expr:
    split = _split(a, k)
    if split is None:
        return Product(a, (k, first, n))
    zeros, poles = split
    # ratios Gamma(n+1-x)/Gamma(n+1-y) as one object each, which do not overflow at large n
    growth = Mul(*(GammaRatio(n + 1 - y, y - x) for x, y in zip(zeros, poles, strict=True)))
    return gammasimp(_gammas(zeros, poles, first)) * growth


def _gammas(zeros: list[Expr], poles: list[Expr], first: int) -> Expr:
    value = S.One
    for y in poles:
        value *= gamma(first - y)
    for x in zeros:
        value /= gamma(first - x)
    return value


def _split(a: Expr, k: Symbol) -> tuple[list[Expr], list[Expr]] | None:
    """Return zeros and poles of a ratio of polynomials in ``k`` that tends to 1, or None if they are not closed."""
    if not a.is_rational_function(k):
        return None
    top, bottom = (Poly(e, k) for e in cancel(a).as_numer_denom())
    degrees = [part.degree() for p in (top, bottom) for part, _ in p.factor_list()[1]]
    if max(degrees) > 2 or top.degree() != bottom.degree() or cancel(top.LC() / bottom.LC() - 1) != 0:
        return None
    return _roots(top), _roots(bottom)


def _roots(p: Poly) -> list[Expr]:
    return [x for x, multiplicity in roots(p).items() for _ in range(multiplicity)]


def _sum(b: Expr, k: Symbol, first: int, n: Symbol) -> Expr:
    """Return ``sum_{k=first..n} b_k``: rational terms by partial fractions as harmonic numbers of one argument."""
    if not b.is_rational_function(k):
        return summation(b, (k, first, n))
    # expanded, so that the harmonic numbers of telescoping parts cancel
    return Add(*(_pole_sum(part, k, first, n) for part in Add.make_args(apart(b, k)))).expand()


def _pole_sum(part: Expr, k: Symbol, first: int, n: Symbol) -> Expr:
    """Return the sum of ``c/(k - y)^p`` for an integer pole ``0 <= y < first``."""
    bottom = Poly(cancel(part).as_numer_denom()[1], k)
    ((y, p),) = roots(bottom).items()
    c = cancel(part * (k - y) ** p)
    assert k not in c.free_symbols
    assert y.is_Integer
    assert 0 <= y < first
    head = harmonic(n, p) - Add(*((n - i) ** -p for i in range(int(y))))
    return c * (head - harmonic(first - 1 - y, p))
