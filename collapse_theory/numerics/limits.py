r"""The values of an equivalent: in float64 where that is stable, in more digits where it cancels, as a limit where it is one.

A parameter at zero may leave the entries of :math:`G` infinite while the result is finite: :math:`\lambda R` at
:math:`\lambda=0` with fewer rows than directions. The result is then followed to two tiny positive values. Near zero it
is a power of them times a convergent series, so that the two tell whether it stays, vanishes or diverges; they stand in a
different ratio to each other where several parameters are zero, so that a limit that depends on the direction is noticed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sympy import Expr, Symbol

from collapse_theory.core.errors import ConvergenceError, DomainError, NoEquivalentError
from collapse_theory.engine.fixed_point import SolvedPencil, solve
from collapse_theory.engine.triangular import Structure
from collapse_theory.numerics.entries import tabulate
from collapse_theory.numerics.existence import VerifiedArithmetic, verified_expressions
from collapse_theory.numerics.measure import Measure
from collapse_theory.numerics.precise import Inputs, inputs_of, precise_entry
from collapse_theory.numerics.roundoff import round_off

__all__ = ["entry_or_limit", "entry_to_digits"]

_ROUND_OFF = 1e-10  # relative; the bound adds up worst cases, so that the error itself is well below
_STEPS = ((1e-20, 1e-30), (1e-6, 1e-13))
_APART = 1e3  # in each step the slowest power, a square root, grows or falls by more
_STAYS = 1e-9


def entry_or_limit(
    structure: Structure, spaces: Mapping[Expr, Measure], parameters: Mapping[Symbol, float], entry: tuple[int, int]
) -> tuple[Any, float]:
    """Return an entry of ``G`` at the nodes of its space, and the largest relative residual of the nonlinear equations.

    Args:
        structure: The pencil.
        spaces: Measures by dimension.
        parameters: Values of the free symbols.
        entry: The entry: an output and an input.

    Raises:
        DomainError: If there is no equivalent, or it diverges where a parameter is zero.
        ConvergenceError: If a nonlinear component is not solved.
    """
    zeros = [x for x, value in parameters.items() if value == 0]
    try:
        return _entry(structure, spaces, parameters, entry)
    except (ConvergenceError, NoEquivalentError):
        if not zeros:
            raise
    where = ", ".join(f"{x} = 0" for x in zeros)
    for step in _STEPS:
        try:
            found = [_entry(structure, spaces, {**parameters, **_near(zeros, spaces, x)}, entry) for x in step]
        except NoEquivalentError:
            raise
        except ConvergenceError:  # at a threshold the radius tends to one: stay where float64 can tell
            continue
        return _told_apart(found[0][0], found[1][0], where), found[1][1]
    raise ConvergenceError(
        f"evaluate cannot follow the expression to {where}, where a threshold is; give positive values"
    )


def entry_to_digits(
    structure: Structure,
    spaces: Mapping[Expr, Measure],
    parameters: Mapping[Symbol, float],
    entry: tuple[int, int],
    exactly: Inputs,
    digits: int,
) -> Any:
    """Return an entry as mpmath numbers of so many digits, on the branch that float64 verifies.

    Args:
        structure: The pencil.
        spaces: Measures by dimension, in float64.
        parameters: Values of the free symbols, in float64.
        entry: The entry: an output and an input.
        exactly: Gives both in an mpmath context.
        digits: Significant digits.

    Raises:
        DomainError: If there is no equivalent, or the value is a limit.
        ConvergenceError: If the digits do not settle.
    """
    zeros = [x for x, value in parameters.items() if value == 0]
    try:
        start = _solved(structure, spaces, parameters)[1]
    except (ConvergenceError, NoEquivalentError):
        if not zeros:
            raise
        where = ", ".join(f"{x} = 0" for x in zeros)
        raise DomainError(
            f"digits= needs values at which no limit is taken, got {where}; give a small positive value, or leave digits out"
        ) from None
    return precise_entry(structure, exactly, start.values, entry, digits)


def _near(zeros: list[Symbol], spaces: Mapping[Expr, Measure], tiny: float) -> dict[Symbol, float]:
    """Return tiny values on the scale of the spectrum for the parameters at zero."""
    top = max((float(v.max()) for space in spaces.values() for v in space.values.values()), default=1.0)
    return {x: tiny * top * (1 + n / -np.log10(tiny)) for n, x in enumerate(zeros)}


def _told_apart(far: Any, close: Any, where: str) -> Any:
    """Return the limit of a value from those at two tiny parameters."""
    if np.any(np.abs(close) > _APART * np.abs(far)):
        raise DomainError(
            f"evaluate needs the expression to have a limit at {where}, got one that diverges; give a positive value"
        )
    vanishes = _APART * np.abs(close) < np.abs(far)
    if not np.all(vanishes | (np.abs(close - far) <= _STAYS * np.abs(close))):
        raise DomainError(
            f"evaluate needs the expression to have a limit at {where} that is the same from every side and reached faster "
            f"than a root, got {far} and {close} close to it; give positive values"
        )
    return np.where(vanishes, 0.0, close)


def _entry(
    structure: Structure, spaces: Mapping[Expr, Measure], parameters: Mapping[Symbol, float], entry: tuple[int, int]
) -> tuple[Any, float]:
    """Return an entry at values where it is finite."""
    arithmetic, solution = _solved(structure, spaces, parameters)
    here = np.asarray(solution.green.get(entry, 0.0))
    if not np.all(round_off(structure, arithmetic, solution.values, entry) <= _ROUND_OFF * np.abs(here)):
        here = precise_entry(structure, inputs_of(spaces, parameters), solution.values, entry).astype(float)
    return here, arithmetic.residual


def _solved(
    structure: Structure, spaces: Mapping[Expr, Measure], parameters: Mapping[Symbol, float]
) -> tuple[VerifiedArithmetic, SolvedPencil]:
    """Return the fixed point in float64, and what verified it."""
    arithmetic = VerifiedArithmetic(spaces, tabulate(verified_expressions(structure), spaces, parameters))
    return arithmetic, solve(structure, arithmetic)
