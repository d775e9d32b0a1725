"""Roots in closed form, where a condition is rational in its unknown."""

from __future__ import annotations

from sympy import Add, Dummy, Expr, Mul, Poly, Pow, Rational, Symbol, cancel, fraction, roots

__all__ = ["closed_roots"]


def closed_roots(expression: Expr, x: Symbol) -> tuple[Expr, ...]:
    """Return the zeros of an expression in closed form, as far as they are roots of linear and quadratic factors.

    What does not contain the unknown, an effective ridge or a trace, is a coefficient. Roots that the assumptions of the unknown
    rule out are left out.

    Args:
        expression: The expression.
        x: The unknown.

    Returns:
        The roots, in the order of their printed form; none if the expression is not rational in the unknown.

    >>> w = Symbol("w", positive=True)
    >>> closed_roots((w**2 + w - 1) / (w - 3), w)
    (-1/2 + sqrt(5)/2,)
    """
    frozen: dict[Expr, Dummy] = {}
    rational = _frozen(expression, x, frozen)
    if rational is None or not rational.has(x):
        return ()
    numerator, _ = fraction(cancel(rational))
    back = {dummy: e for e, dummy in frozen.items()}
    found = set[Expr]()
    for factor, _ in Poly(numerator, x).factor_list()[1]:
        for root in roots(factor, cubics=False, quartics=False):
            e = root.xreplace(back)
            outside = e.is_negative if x.is_nonnegative else False
            if not outside and not (x.is_positive and e.is_zero) and e.is_real is not False:
                found.add(e)
    return tuple(sorted(found, key=str))


def _frozen(e: Expr, x: Symbol, frozen: dict[Expr, Dummy]) -> Expr | None:
    """Return the expression with a symbol for each coefficient that is more than a rational function; None if x is in one."""
    if e.is_Atom:
        return Rational(e) if e.is_Float else e
    if isinstance(e, Add | Mul) or (isinstance(e, Pow) and e.exp.is_Integer):
        parts = [_frozen(a, x, frozen) for a in e.args]
        return None if any(a is None for a in parts) else e.func(*parts)
    if e.has(x):
        return None
    if e not in frozen:
        signs = {"nonnegative": True} if e.is_nonnegative else {"real": True}
        frozen[e] = Dummy(**signs)
    return frozen[e]
