"""Points inside the conditions of a formula, drawn by a seed: a spectrum, a target and one value per symbol.

Rows are drawn around the dimension, where formulas differ most: a little above it, far above it, and below. A
point is kept if every condition holds; conditions that are equations are solved first.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sympy import Add, Eq, Expr, Integer, Rational, S, Symbol, solve
from sympy.logic.boolalg import Boolean

from collapse_theory.algebra.integrals import SpectralIntegral
from collapse_theory.algebra.opaque import Opaque
from collapse_theory.core.errors import DomainError
from collapse_theory.core.numbers import real
from collapse_theory.derive.formula import ErrorFormula
from collapse_theory.describe.spectra import Eigenvalues, Isotropic, Spectrum
from collapse_theory.describe.targets import Energies, Target
from collapse_theory.symbols import d as dimension

__all__ = ["SIZES", "DrawnPoint", "drawn_points", "plain_number"]

SIZES = frozenset({"T", "T0", "N", "m", "d"})
"""Symbols that grow with the size of a system."""

_TRIES = 400  # draws for one point
_SMALLEST, _LARGEST = 2, 9  # directions


@dataclass(frozen=True)
class DrawnPoint:
    """Where formulas are compared.

    Attributes:
        values: One value per symbol by name, ``d`` only where no spectrum is given.
        spectrum: Eigenvalues, or None if no formula needs one.
        target: Energies, or None.
    """

    values: Mapping[str, Any]
    spectrum: Any = None
    target: Target | None = None

    @property
    def d(self) -> int | None:
        """The number of directions, if there is a spectrum."""
        one = next(iter(self.spectrum.values())) if isinstance(self.spectrum, Mapping) else self.spectrum
        return None if one is None else int(one.rank)

    def shown(self) -> dict[str, Any]:
        """Return the values, the dimension among them."""
        return dict(sorted({**self.values, **({} if self.d is None else {"d": self.d})}.items()))

    def scaled(self, factor: int, extra: Iterable[str] = ()) -> DrawnPoint:
        """Return a system of so many times the size: every eigenvalue and all rows that often, the energy in all unchanged."""
        sizes = SIZES | set(extra)
        values = {k: v * factor if k in sizes or k.split("_")[0] in sizes else v for k, v in self.values.items()}
        if self.spectrum is None:
            return replace(self, values=values)
        many = isinstance(self.spectrum, Mapping)
        spectra = self.spectrum if many else {"Sigma": self.spectrum}
        # The order of eigenvalues is kept, so that covariances and energies stay paired.
        wide = {k: Eigenvalues(np.repeat(x.eigenvalues, factor)) for k, x in spectra.items()}
        target = None
        if self.target is not None:
            first = spectra.get("Sigma", next(iter(spectra.values())))
            target = Energies(np.repeat(self.target.energies(first), factor) / factor)
        return DrawnPoint(values, wide if many else wide["Sigma"], target)


def plain_number(value: Any, name: str) -> int | float:
    """Return a number that is not drawn, as an integer or a float.

    Raises:
        DomainError: If it is no real number.

    >>> plain_number(3, "T"), plain_number(0.5, "lam")
    (3, 0.5)
    """
    exact = real(value, name, number=True)
    return int(exact) if exact.is_Integer else float(exact)


def drawn_points(
    formulas: Iterable[ErrorFormula],
    count: int,
    seed: int,
    *,
    spectrum: Any = None,
    target: Target | None = None,
    fixed: Mapping[str, Any] | None = None,
) -> Iterator[DrawnPoint]:
    """Yield points inside the conditions of all formulas.

    Args:
        formulas: What is compared.
        count: How many points.
        seed: Seed of the draws.
        spectrum: Eigenvalues to use instead of drawn ones.
        target: Energies to use instead of drawn ones.
        fixed: Values that are not drawn.

    Raises:
        DomainError: If no point is found in the conditions.
    """
    formulas, fixed = tuple(formulas), dict(fixed or {})
    rng = random.Random(seed)  # noqa: S311 - a draw, no secret
    for _ in range(count):
        for _ in range(_TRIES):
            point = _one(formulas, rng, spectrum, target, fixed)
            if point is not None:
                yield point
                break
        else:
            conditions = ", ".join(str(c.xreplace(dict(f.numbers))) for f in formulas for c in f.conditions)
            raise DomainError(
                f"check needs a point inside {conditions}, found none in {_TRIES} draws; give values of your own"
            )


def _one(
    formulas: tuple[ErrorFormula, ...], rng: random.Random, spectrum: Any, target: Target | None, fixed: dict[str, Any]
) -> DrawnPoint | None:
    symbols = {x for f in formulas for x in f.free_symbols if x not in f.numbers}
    drawn_spectrum = spectrum if spectrum is not None else _spectrum(formulas, rng, fixed)
    given = DrawnPoint({}, drawn_spectrum, target)
    d = given.d or int(fixed.get("d", 0)) or rng.randint(_SMALLEST, _LARGEST)
    if target is None and drawn_spectrum is not None and any(f.program.plan.needs_target for f in formulas):
        target = Energies([round(rng.uniform(0, 2), 3) for _ in range(d)])
    by_name = {x.name: x for x in symbols}
    values = {name: fixed[name] if name in fixed else _value(x, d, rng) for name, x in sorted(by_name.items())}
    conditions = [c.xreplace(dict(f.numbers)) for f in formulas for c in f.conditions]
    for c in conditions:
        if isinstance(c, Eq):
            _fulfil(c, values, by_name, fixed)
    exact = {by_name[k]: _exact(v) for k, v in values.items()} | {dimension: Integer(d)}
    if not all(_holds(c, exact) for c in conditions) or not all(_in_range(x, exact[x]) for x in by_name.values()):
        return None
    if drawn_spectrum is not None:
        values.pop("d", None)
    return DrawnPoint(values, drawn_spectrum, target)


def _holds(c: Boolean, at: Mapping[Symbol, Expr]) -> bool:
    found = c.xreplace(dict(at))
    if isinstance(found, Eq):
        return bool(abs(float(found.lhs - found.rhs)) < 1e-12)
    return found == S.true


def _in_range(x: Symbol, value: Expr) -> bool:
    return not ((x.is_positive and not value > 0) or (x.is_nonnegative and not value >= 0))


def _fulfil(c: Eq, values: dict[str, Any], by_name: Mapping[str, Symbol], fixed: Mapping[str, Any]) -> None:
    """Change the last symbol of an equation that is free to change, so that it holds."""
    free = sorted(x.name for x in c.free_symbols if x.name in values and x.name not in fixed)
    if not free:
        return
    x = by_name[free[-1]]
    others = {by_name[k]: _exact(v) for k, v in values.items() if by_name[k] != x}
    found = solve((c.lhs - c.rhs).xreplace(others), x)
    if found and found[0].is_real:
        values[x.name] = float(found[0])


def _exact(value: Any) -> Expr:
    return Integer(value) if isinstance(value, int) else Rational(float(value))


def _value(x: Symbol, d: int, rng: random.Random) -> Any:
    """Return a value for a symbol, by what the notation table says it is."""
    stem = x.name.split("_")[0]
    if x == dimension:
        return d
    if stem in SIZES or (x.is_positive and x.is_integer):
        where = rng.random()
        if where < 0.6:
            return d + rng.randint(2, 4 * d)
        return d * rng.randint(5, 50) if where < 0.8 else rng.randint(1, max(1, d - 2))
    if x.is_integer:
        return rng.choice([0, 1, 1, 2, 2, 3, 4, 7, 12, 30])
    if stem in {"w", "p1", "p2"}:
        return round(rng.uniform(0.02, 0.98), 3)
    if stem in {"lam", "lam0"}:
        return float(f"{10 ** rng.uniform(-3, 1):.2e}")
    if x.is_nonnegative:
        return round(10 ** rng.uniform(-0.7, 0.5), 3)
    return round(rng.uniform(-2, 2), 3)


def _spectrum(formulas: tuple[ErrorFormula, ...], rng: random.Random, fixed: Mapping[str, Any]) -> Any:
    if not any(f.program.plan.needs_spectrum for f in formulas):
        return None
    d = int(fixed["d"]) if "d" in fixed else rng.randint(_SMALLEST, _LARGEST)
    if any(f.isotropic for f in formulas):
        return Isotropic(d)
    names = sorted({x.name for f in formulas for i in _integrals(f) for x in i.bound_symbols} | {"Sigma"})
    drawn: dict[str, Spectrum] = {k: Eigenvalues([round(10 ** rng.uniform(-2, 1), 4) for _ in range(d)]) for k in names}
    return drawn if len(drawn) > 1 else drawn["Sigma"]


def _integrals(f: ErrorFormula) -> set[Any]:
    whole = Add(*f.parts.values())
    return whole.atoms(SpectralIntegral) | {
        i for x in whole.atoms(Opaque) for a in x.args for i in a.atoms(SpectralIntegral)
    }
