r"""Predicted curves on power laws, with their constants, and the local slopes of the test error beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mpmath import mp
from sympy import Dummy, Expr, Integer, S, Symbol, log

from collapse_theory import symbols
from collapse_theory.core.errors import DomainError, nearest
from collapse_theory.derive.asymptotics import Asymptotics
from collapse_theory.derive.formula import ErrorFormula
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

    def expression(self) -> Expr:
        """Return the sum of the leading parts of all terms, in :data:`ROWS`.

        Raises:
            DomainError: If the constant of the largest is not known.
        """
        fixed, regimes = self.fixed, self.regimes
        terms = unfolded_terms(self.formula, int(fixed[symbols.n]) if symbols.n in fixed else None)
        asymptotics = Asymptotics(regimes.scales.laws, regimes.chamber, terms.definitions)
        leading = regimes.tree.pieces[0].value.leading
        out = S.Zero
        for name, e in terms.parts.items():
            x = regimes.order(e, asymptotics)
            if x.vanishes:
                continue
            if x.constant is not None and x.exact:
                out += x.sign * x.constant * ROWS ** regimes.chamber.shown(x.exponent) * log(ROWS) ** x.log
            elif name in leading:
                raise DomainError(
                    f"the constant of {name} is not known at these exponents, at which two scales are of one order; choose ell "
                    "inside a regime"
                )
        return out.xreplace(fixed)

    def value(self, rows: Any, digits: int | None) -> Any:
        """Return the test error itself at a number of rows."""
        laws = self.regimes.scales.laws
        given = {x.name: e for x, e in self.fixed.items()}
        for x in self.formula.free_symbols:
            power = laws.scales.get(x)
            if x.name not in given and x != symbols.d:
                given[x.name] = S.Zero if power is None else Integer(rows) ** power
        d = S.Infinity if laws.dimension is None else Integer(int(Integer(rows) ** laws.dimension))
        spectrum, target = PowerLaw(d, beta=laws.beta), SourceTarget(laws.r)
        return self.formula.evaluate(spectrum=spectrum, target=target, digits=digits, **given)

    def slope(self, rows: Any, digits: int | None) -> float:
        """Return the slope of its logarithm in that of T, from ``rows`` to twice as many."""
        return float(mp.log(self.value(2 * rows, digits) / self.value(rows, digits), 2))


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
