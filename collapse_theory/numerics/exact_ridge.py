r"""The effective ridge in an mpmath context: any number of digits, exponents without end.

Written as in float64, so that nothing cancels: the complement :math:`T-\mathrm{df}_1` follows :math:`\kappa`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from collapse_theory.core.errors import ConvergenceError
from collapse_theory.numerics.measure import Measure

__all__ = ["exact_ridge", "upper_end"]

_NEWTON = 6000  # Newton at least halves its distance: this covers the exponents of float64 three times


def exact_ridge(mp: Any, measure: Measure, T: Any, lam: Any) -> tuple[Any, Any]:
    r"""Return the effective ridge by Newton from above, and the residual degrees of freedom :math:`T-\mathrm{df}_2`.

    Args:
        mp: The context.
        measure: Nodes and weights in that context.
        T: Rows, positive.
        lam: Ridge, >= 0.

    Raises:
        ConvergenceError: If the iteration does not settle.
    """
    s, counts, rank = measure.nodes, measure.counts, measure.rank
    if lam == 0 and rank <= T:
        return mp.zero, mp.mpf(T) - rank

    def shared(x: Any) -> Any:
        """Return ``df1 - df2``, a sum of positive terms."""
        return x * mp.fsum(s / (s + x) ** 2 * counts)

    x = upper_end(T, lam, max(s), mp.fsum(s * counts), rank, mp.sqrt)
    tolerance = mp.mpf(2) ** (8 - mp.prec)
    for _ in range(_NEWTON):
        rest = _unexplained(mp, measure, T, x)
        following = max(x - (x * rest - T * lam) / (rest + shared(x)), lam)
        step, x = abs(following - x), following
        if step <= tolerance * x:
            return x, T * lam / x + shared(x)
    raise ConvergenceError(
        f"effective ridge did not settle at T={mp.nstr(T, 17)}, lam={mp.nstr(lam, 17)}: step {mp.nstr(step, 3)}"
    )


def _unexplained(mp: Any, measure: Measure, T: Any, x: Any) -> Any:
    """Return ``T - df1(x)``: the directions above ``x`` count whole, their complement is small."""
    above = np.asarray(measure.nodes >= x, dtype=bool)
    part = np.minimum(measure.nodes, x) / (measure.nodes + x) * measure.counts
    return (T - int(measure.counts[above].sum())) + (mp.fsum(part[above]) - mp.fsum(part[~above]))


def upper_end(T: Any, lam: Any, top: Any, mass: Any, rank: int, sqrt: Any, minimum: Any = min) -> Any:
    r"""Return an upper bound of the effective ridge, where Newton's iteration starts, in any arithmetic.

    :math:`\lambda+\operatorname{tr}\Sigma/T` always; where :math:`T\ge\operatorname{rank}` also the root of
    :math:`\operatorname{rank}\kappa^2=T\lambda(s_1+\kappa)`, which is of the right order down to a vanishing ridge.

    Args:
        T: Rows.
        lam: Ridge.
        top: Largest eigenvalue.
        mass: Trace of the covariance.
        rank: Number of positive eigenvalues.
        sqrt: Square root of the arithmetic.
        minimum: Minimum of the arithmetic.
    """
    over = rank > T
    plain, b = lam + mass / T, T * lam / rank
    near_threshold = (b + sqrt(b) * sqrt(b + 4 * top)) / 2 * (1 + 1e-9)
    return minimum(plain, near_threshold + over * plain)
