r"""Scalar special functions of the exact theory, as SymPy functions that know how they are evaluated without cancellation."""

from __future__ import annotations

from typing import Any

from sympy import (
    Add,
    Expr,
    Integer,
    S,
    Symbol,
    apart,
    digamma,
    fraction,
    gamma,
    log,
    oo,
)

from collapse_theory.algebra.opaque import OpaqueFunction

__all__ = ["DigammaDifference", "GammaRatio", "GeometricSum", "sum_of_simple_poles"]


class DigammaDifference(OpaqueFunction):
    r"""The difference :math:`\psi(x+h)-\psi(x)` as one object, because for small ``h`` the two terms cancel.

    Args:
        x: Base point, positive.
        h: Increment, with ``x + h`` positive.

    >>> DigammaDifference(1, 2)
    3/2
    >>> DigammaDifference(oo, Symbol("h"))
    0
    """

    nargs = 2

    @classmethod
    def eval(cls, x: Expr, h: Expr) -> Expr | None:
        """Return the value where it is elementary."""
        if h.is_zero or (x is oo and h.is_finite is not False):
            return S.Zero
        if h.is_Integer and abs(h) <= _ELEMENTARY:
            terms = [1 / (x + i) for i in range(int(h))] if h > 0 else [-1 / (x - i) for i in range(1, 1 - int(h))]
            return Add(*terms)
        return None

    @classmethod
    def definition(cls, *args: Expr) -> Expr:
        r"""Return :math:`\psi(x+h)-\psi(x)`."""
        x, h = args
        return digamma(x + h) - digamma(x)

    def _number(self, mp: Any, *args: Any) -> Any:
        x, h = args
        return mp.digamma(x + h) - mp.digamma(x)  # about h/x at least: the working precision makes up for it

    def _tex(self, printer: Any) -> tuple[str, str]:
        x, h = self.args
        return rf"\left[\psi\left({printer.doprint(x + h)}\right) - \psi\left({printer.doprint(x)}\right)\right]", ""


class GammaRatio(OpaqueFunction):
    r"""The ratio :math:`\Gamma(x+h)/\Gamma(x)` as one object, because both overflow at large ``x``.

    Args:
        x: Base point, positive.
        h: Increment, with ``x + h`` positive.

    >>> GammaRatio(3, 0), GammaRatio(3, 2).doit()
    (1, 12)
    """

    nargs = 2
    _compound = True

    @classmethod
    def eval(cls, x: Expr, h: Expr) -> Expr | None:  # noqa: ARG003  (SymPy passes every argument)
        """Return 1 at ``h = 0``."""
        return S.One if h.is_zero else None

    @classmethod
    def definition(cls, *args: Expr) -> Expr:
        r"""Return :math:`\Gamma(x+h)/\Gamma(x)`."""
        x, h = args
        return gamma(x + h) / gamma(x)

    def _slope(self, i: int) -> Expr:
        r"""Return :math:`\partial_x=f\,[\psi(x+h)-\psi(x)]` or :math:`\partial_h=f\,\psi(x+h)`: the ratio stays one object."""
        x, h = self.args
        return self * (DigammaDifference(x, h) if i == 0 else digamma(x + h))

    def _bits(self, prec: int) -> int:
        # The logarithms of two Gammas cancel: they are of the size of x log x.
        return 2 * prec + 64 + max(0, int(log(abs(self.args[0]) + 2, 2).evalf(5)))

    def _number(self, mp: Any, *args: Any) -> Any:
        x, h = args
        return mp.exp(mp.loggamma(x + h) - mp.loggamma(x))

    def _tex(self, printer: Any) -> tuple[str, str]:
        x, h = self.args
        return rf"\frac{{\Gamma\left({printer.doprint(x + h)}\right)}}{{\Gamma\left({printer.doprint(x)}\right)}}", ""


class GeometricSum(OpaqueFunction):
    r"""The geometric sum :math:`\sum_{k<n}(1-x)^k` as one object, because :math:`[1-(1-x)^n]/x` cancels for small ``x``.

    Args:
        x: One minus the ratio, in [0, 1].
        n: The number of terms, >= 0.

    >>> GeometricSum(Symbol("x"), 2)
    2 - x
    """

    nargs = 2
    _compound = True

    @classmethod
    def eval(cls, x: Expr, n: Expr) -> Expr | None:
        """Return the value where it is elementary."""
        if x.is_zero:
            return n
        if n.is_Integer and 0 <= n <= _ELEMENTARY:
            return Add(*((1 - x) ** k for k in range(int(n))))
        return None

    @classmethod
    def definition(cls, *args: Expr) -> Expr:
        """Return the quotient."""
        x, n = args
        return (1 - (1 - x) ** n) / x

    def _slope(self, i: int) -> Expr:
        r"""Return :math:`\partial_x=[n(1-x)^{n-1}-f]/x`, which is defined at :math:`x=1`, and that of the definition by n."""
        x, n = self.args
        return (n * (1 - x) ** (n - 1) - self) / x if i == 0 else super()._slope(i)

    def _number(self, mp: Any, *args: Any) -> Any:
        x, n = args
        return (1 - (1 - x) ** n) / x if x == 1 else -mp.expm1(n * mp.log1p(-x)) / x

    def _tex(self, printer: Any) -> tuple[str, str]:
        x, n = self.args
        # One fraction, whatever the signs: the quotient itself may print as -a/b, which no product brackets.
        power = rf"\left({printer.doprint(1 - x)}\right)^{{{printer.doprint(n)}}}"
        return rf"\frac{{1 - {power}}}{{{printer.doprint(x)}}}", ""


_ELEMENTARY = 4  # longer sums are better left as one object


def sum_of_simple_poles(summand: Expr, i: Symbol, n: Expr) -> Expr:
    r"""Return :math:`\sum_{i=1}^nf(i)` for a rational ``f`` with simple poles that decays like :math:`1/i^2`.

    Partial fractions :math:`f=\sum_ja_j/(i-c_j)` with :math:`\sum_ja_j=0` give
    :math:`\sum_ja_j[\psi(n+1-c_j)-\psi(1-c_j)]`, paired so that only differences of nearby digammas remain
    (Abramowitz, Stegun, Handbook of Mathematical Functions, 6.8).

    Args:
        summand: The rational function of ``i``; its poles must not be positive integers.
        i: The summation index.
        n: The upper limit.

    Raises:
        ValueError: If a pole is not simple or the residues do not sum to zero.

    >>> from sympy import Symbol
    >>> i, n = Symbol("i"), Symbol("n")
    >>> sum_of_simple_poles(1 / (i * (i + Symbol("a"))), i, n).subs(n, oo)
    DigammaDifference(1, a)/a
    """
    poles: list[tuple[Expr, Expr]] = []
    for term in Add.make_args(apart(summand, i)):
        numerator, denominator = fraction(term)
        slope = denominator.diff(i)
        if i in numerator.free_symbols or i in slope.free_symbols:
            raise ValueError(f"{term} is not a simple pole in {i}")
        poles.append((numerator / slope, i - denominator / slope))
    if sum(a for a, _ in poles).simplify() != 0:
        raise ValueError(f"{summand} does not decay like 1/{i}^2")
    poles = [(a, c.expand()) for a, c in poles]
    base = min((c for _, c in poles), key=lambda c: (c != 0, str(c)))
    at_n, at_0 = n + 1 - base, Integer(1) - base
    return Add(*(a * (DigammaDifference(at_n, base - c) - DigammaDifference(at_0, base - c)) for a, c in poles))
