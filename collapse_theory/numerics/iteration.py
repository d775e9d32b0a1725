r"""Positive solutions of :math:`x_i=f_i(x)` with increasing right-hand sides, by iteration from both sides.

Such an iteration falls from above and rises from below to a fixed point. If both meet, there is no other between them: the
solution is unique, and that is checked rather than assumed. Three iterates of a geometric tail give its limit (Aitken), so
that a rate near one costs little.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from sympy import Symbol

from collapse_theory.core.errors import ConvergenceError
from collapse_theory.numerics.steps import SolveEquations

__all__ = ["solve_equations"]

_MOST = 3000  # evaluations
_STARTS = (10**6, 10**-6)
_MEET = 1e-9  # relative distance at which two solutions are one


def solve_equations(
    step: SolveEquations,
    sides: Callable[[Mapping[Symbol, Any]], Mapping[str, Any]],
    env: Mapping[Symbol, Any],
    epsilon: Any,
) -> Sequence[Any]:
    """Return the solution of the equations of a step.

    Args:
        step: The unknowns, and what names the solution.
        sides: Gives the right-hand sides, by their place, at values by symbol.
        env: The values of all other symbols.
        epsilon: Relative distance of neighbouring numbers.

    Raises:
        ConvergenceError: If an iteration does not settle, or the two do not meet.
    """

    def right(x: Sequence[Any]) -> list[Any]:
        return list(sides({**env, **dict(zip(step.unknowns, x, strict=True))}).values())

    above, below = (
        _settled(right, [start * (0 * y + 1) for y in right([1] * len(step.unknowns))], epsilon) for start in _STARTS
    )
    apart = max(_largest(abs(a - b) / a) for a, b in zip(above, below, strict=True))
    if not apart < _MEET:
        raise ConvergenceError(
            f"the equations of {', '.join(x.name.rstrip('?') for x in step.unknowns)} need one positive solution, got two that are "
            f"{apart:.1e} apart; solve them for the unknown that is an effective ridge"
        )
    return above


def _settled(right: Callable[[Sequence[Any]], list[Any]], x: list[Any], epsilon: Any) -> list[Any]:
    for _ in range(_MOST // 2):
        y = right(x)
        z = right(y)
        moved = max(_largest(abs(c - b) / c) for b, c in zip(y, z, strict=True))
        if moved <= 4 * epsilon:
            return z
        x = [_limit(a, b, c) for a, b, c in zip(x, y, z, strict=True)]
    raise ConvergenceError(
        f"an iteration did not settle in {_MOST} steps: relative change {float(moved):.1e}; raise the ridge"
    )


def _largest(x: Any) -> Any:
    return np.max(x) if np.ndim(x) else x


def _limit(a: Any, b: Any, c: Any) -> Any:
    """Return the limit of three iterates, if they look like a geometric tail with a positive one; else the last."""
    if np.ndim(c):
        return np.array([_limit(*abc) for abc in zip(*np.broadcast_arrays(a, b, c), strict=True)])
    first, second = b - a, c - b
    if first == 0 or not 0 < second / first < 1:
        return c
    limit = c + second * second / (first - second)
    return limit if limit > 0 else c
