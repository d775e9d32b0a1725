r"""Predicted curves on power laws, with their constants, and the local slopes of the test error beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mpmath import mp
from sympy import Add, Dummy, Expr, Integer, Rational, S, Symbol, log

from collapse_theory import symbols
from collapse_theory.core.errors import DomainError, nearest
from collapse_theory.derive.asymptotics import Asymptotics
from collapse_theory.derive.formula import ErrorFormula
from collapse_theory.derive.next_order import expanded
from collapse_theory.derive.regimes import Regimes, unfolded_terms
from collapse_theory.derive.scales import given_exponent
from collapse_theory.describe.spectra import PowerLaw
from collapse_theory.describe.targets import SourceTarget

__all__ = ["ROWS", "PredictedCurve", "RateCheck"]

ROWS = Dummy("T", positive=True)
"""Stands for T in a curve."""


@dataclass(frozen=True)
class PredictedCurve:
    """A test error as a function of T alone, every exponent a number.

    Attributes:
        formula: The test error.
        regimes: Its terms at the scales.
        values: One value per symbol that does not change with T, by name.
    """

    formula: ErrorFormula
    regimes: Regimes
    values: Mapping[str, Any]

    @property
    def fixed(self) -> dict[Symbol, Expr]:
        """The values by symbol.

        Raises:
            DomainError: If one is missing or unknown.
        """
        name, values = self.formula.name, self.values
        fixed = {x.name: x for x in self.regimes.scales.laws.fixed if x in self.formula.free_symbols}
        unknown, missing = sorted(set(values) - set(fixed)), sorted(set(fixed) - set(values))
        if unknown:
            raise DomainError(f"{name} has no symbol {unknown[0]!r} that is fixed in T{nearest(unknown[0], fixed)}")
        if missing:
            raise DomainError(f"{name} needs a value for {', '.join(missing)}, got none; pass {missing[0]}=...")
        return {x: given_exponent(values[name], name) for name, x in fixed.items()}

    def terms(self) -> dict[str, tuple[Expr, Expr, int]]:
        """Return the leading part of each term: its constant, its power of T, and that of ``log T``.

        A term without a known constant is left out, unless it is the largest.

        Raises:
            DomainError: If the constant of the largest is not known.
        """
        fixed, regimes = self.fixed, self.regimes
        asymptotics, parts = self._written
        leading = regimes.tree.pieces[0].value.leading
        out = {}
        for name, e in parts.items():
            x = regimes.order(e, asymptotics)
            if x.vanishes:
                continue
            if x.constant is not None and x.exact:
                out[name] = (x.sign * x.constant.xreplace(fixed), regimes.chamber.shown(x.exponent), x.log)
            elif name in leading:
                raise DomainError(
                    f"the constant of {name} is not known at these exponents, at which two scales are of one order; choose ell "
                    "inside a regime"
                )
        return out

    def expression(self, powers: int = 1) -> Expr:
        """Return the sum of the largest powers of T in each term, in :data:`ROWS`.

        Args:
            powers: How many of each term; 1 are the leading parts, logarithms included.

        Raises:
            DomainError: As :meth:`terms`; for more powers than one also where an object has no expansion, or two scales tie.
        """
        if powers == 1:
            return Add(*(c * ROWS**e * log(ROWS) ** k for c, e, k in self.terms().values()))
        asymptotics, parts = self._written
        orders = {name: self.regimes.order(e, asymptotics) for name, e in parts.items()}
        found = [expanded(parts[k], x, asymptotics, self.fixed, powers) for k, x in orders.items() if not x.vanishes]
        return Add(*(c * ROWS ** Rational(e.numerator, e.denominator) for x in found for e, c in x.items()))

    @property
    def _written(self) -> tuple[Asymptotics, Mapping[str, Expr]]:
        """The terms, written out, and their orders."""
        fixed, regimes = self.fixed, self.regimes
        written = unfolded_terms(self.formula, int(fixed[symbols.n]) if symbols.n in fixed else None)
        return Asymptotics(regimes.scales.laws, regimes.chamber, written.definitions), written.parts

    def value(self, rows: Any, digits: int | None) -> Any:
        """Return the test error itself at a number of rows."""
        laws = self.regimes.scales.laws
        given = {x.name: e for x, e in self.fixed.items()}
        for x in self.formula.free_symbols:
            power = laws.scales.get(x)
            if x.name not in given and x != symbols.d:
                given[x.name] = S.Zero if power is None else _whole(Integer(rows) ** power, integer=x.is_integer)
        d = S.Infinity if laws.dimension is None else _whole(Integer(rows) ** laws.dimension)
        spectrum, target = PowerLaw(d, beta=laws.beta), SourceTarget(laws.r)
        return self.formula.evaluate(spectrum=spectrum, target=target, digits=digits, **given)

    def slope(self, rows: Any, digits: int | None) -> float:
        """Return the slope of its logarithm in that of T, from ``rows`` to twice as many."""
        return float(mp.log(self.value(2 * rows, digits) / self.value(rows, digits), 2))


def _whole(e: Expr, *, integer: bool | None = True) -> Expr:
    """Return the integer part of what has to be an integer."""
    return Integer(int(e)) if integer else e


@dataclass(frozen=True)
class RateCheck:
    """Observed against predicted slopes of ``log E`` in ``log T``.

    Attributes:
        T: Where.
        predicted: The predicted slope.
        observed: The slope from T to 2T, less that of a predicted logarithm.
    """

    T: tuple[int, ...]
    predicted: float
    observed: tuple[float, ...]

    @property
    def gaps(self) -> tuple[float, ...]:
        """Observed less predicted."""
        return tuple(x - self.predicted for x in self.observed)

    @property
    def converges(self) -> bool:
        """Whether the gap shrinks from the first to the last T, or is round-off."""
        return abs(self.gaps[-1]) <= max(abs(self.gaps[0]) / 2, 1e-9)

    def __str__(self) -> str:
        lines = [f"{'T':>10}  {'observed':>12}  {'predicted':>10}  {'gap':>9}"]
        for t, x, gap in zip(self.T, self.observed, self.gaps, strict=True):
            lines.append(f"{float(t):>10.1e}  {x:>12.8f}  {self.predicted:>10.6f}  {gap:>9.1e}")
        return "\n".join(lines)
