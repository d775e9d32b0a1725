r"""The value of an expression at one point of its domain: which way a difference is positive, and whether two forms agree.

A person writes :math:`1-w` where :math:`w\le1` and :math:`T-1` where :math:`T\ge1`. The value at a typical point says which.
The same point checks every rewritten form against the one it was made from.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from sympy import Dummy, Expr, Float, Integer, Rational, Symbol, digamma, gamma
from sympy.core.function import AppliedUndef
from sympy.logic.boolalg import Boolean

from collapse_theory.algebra.effective import EffectiveRidge
from collapse_theory.algebra.integrals import QuadraticForm, SpectralIntegral
from collapse_theory.algebra.opaque import Opaque
from collapse_theory.algebra.special import DigammaDifference, GammaRatio, GeometricSum
from collapse_theory.symbols import Eigenvalue, Generated

__all__ = ["TypicalPoint"]

_TYPICAL = {
    "d": Integer(9), "T": Integer(47), "T0": Integer(31), "N": Integer(53), "m": Integer(23), "n": Integer(3), "k": Integer(2),
    "K": Integer(4), "xi": Rational(1, 5),
    "w": Rational(1, 4), "p1": Rational(3, 10), "p2": Rational(7, 10), "lam": Rational(1, 7), "lam0": Rational(1, 11),
    "kappa": Rational(1, 3),
}  # fmt: skip
_FEW, _FEWER = Integer(7), Integer(5)
_OTHER = ({"T0": _FEW}, {"T": _FEW}, {"T": _FEW, "T0": _FEWER}, {"N": _FEW})  # fewer rows than directions
_DIGITS = 30


class TypicalPoint:
    """A point at which conditions hold.

    Args:
        conditions: What the point has to fulfil.
        ridges: The names of effective ridges, which have the values that their equations give.
    """

    def __init__(
        self, conditions: Iterable[Boolean] = (), ridges: Mapping[Expr, Symbol] = MappingProxyType({})
    ) -> None:
        self._known: dict[Expr, Expr] = {}
        self._computed: dict[Expr, Any] = {}
        held = list(conditions)
        for other in ({}, *_OTHER):
            self._values = _TYPICAL | other
            if self._fulfils(held):
                break
        else:
            self._values = dict(_TYPICAL)
        for x, name in ridges.items():
            if isinstance(x, EffectiveRidge):
                self._known[name] = self._ridge(*(self.value(a) for a in x.args))

    def value(self, e: Expr) -> Any:
        """Return the value, or None where it has none."""
        if e not in self._computed:
            self._computed[e] = self._evaluated(e)
        return self._computed[e]

    def _evaluated(self, e: Expr) -> Any:
        try:
            value = self._at(e).evalf(_DIGITS)
        except (TypeError, ValueError, ZeroDivisionError, AttributeError):
            return None
        return value if value.is_Float or value.is_Integer or value.is_Rational else None

    def know(self, x: Symbol, e: Expr) -> None:
        """Let a symbol stand for an expression."""
        self._known[x] = self.value(e) or self._opaque(x)
        if not isinstance(x, Dummy):  # a dummy stands nowhere before it is known
            self._computed.clear()

    def is_negative(self, e: Expr) -> bool:
        """Return whether the value is negative."""
        value = self.value(e)
        return value is not None and bool(value < 0)

    def agree(self, a: Expr, b: Expr) -> bool:
        """Return whether two expressions have the same value."""
        x, y = self.value(a), self.value(b)
        if x is None or y is None:
            return False
        return bool(abs(x - y) <= Float(10) ** (-_DIGITS // 2) * (abs(x) + abs(y)))

    def _fulfils(self, conditions: list[Boolean]) -> bool:
        return all(c.subs({x: self._of(x) for x in c.free_symbols}) != False for c in conditions)  # noqa: E712

    def _of(self, x: Symbol) -> Expr:
        """Return the value of a symbol: a typical one, or one that its name draws."""
        drawn = Rational(1009 + zlib.crc32(x.name.encode()) % 4001, 10007)
        return self._values.get(x.name, Integer(2) if x.is_integer else drawn)

    def _ridge(self, T: Any, lam: Any) -> Expr:
        """Return the root of its equation."""
        if T is None or lam is None:
            return Rational(1, 3)
        return _root(T, lam, int(self._values["d"]))

    def _at(self, e: Expr) -> Expr:
        change: dict[Expr, Expr] = {}
        for x in e.atoms(Opaque, SpectralIntegral, AppliedUndef, Dummy, Generated):
            if isinstance(x, Generated) and x not in self._known:
                continue
            if x not in self._known:
                self._known[x] = self._opaque(x)
            change[x] = self._known[x]
        inner = e.xreplace(change)
        return inner.xreplace({x: self._known.get(x, self._of(x)) for x in inner.free_symbols})

    def _opaque(self, x: Expr) -> Expr:
        if isinstance(x, SpectralIntegral):
            return self._integral(x)
        if isinstance(x, AppliedUndef):
            f = {"Gamma": gamma, "psi": digamma}[x.func.__name__]
            return f(*(self._at(a) for a in x.args)).evalf(_DIGITS)
        if isinstance(x, DigammaDifference | GammaRatio | GeometricSum):
            return self._at(x.doit()).evalf(_DIGITS)
        return Rational(zlib.crc32(str(x).encode()) % 9973 + 17, 9973)

    def _integral(self, x: SpectralIntegral) -> Expr:
        scalars = {
            y: self._known.get(y, self._of(y)) for y in x.integrand.free_symbols if not isinstance(y, Eigenvalue)
        }
        f, total = x.integrand.xreplace(scalars), Integer(0)
        for j in range(1, int(self._values["d"]) + 1):
            weight = Rational(j + 3, 7) if isinstance(x, QuadraticForm) else Integer(1)
            at = {y: Rational(1, j) + Rational(len(y.name) - 5, 3) for y in f.free_symbols}
            total += weight * f.xreplace(at).evalf(_DIGITS)
        return total


@lru_cache(maxsize=64)
def _root(T: Expr, lam: Expr, d: int) -> Expr:
    """Return the effective ridge where eigenvalue ``j`` is ``1/j``, from above."""
    kappa, s = lam + 3, [Float(1, _DIGITS) / j for j in range(1, d + 1)]
    for _ in range(200):
        before, kappa = kappa, lam + kappa * sum(x / (x + kappa) for x in s) / T
        if before == kappa:
            break
    return Float(kappa, _DIGITS)
