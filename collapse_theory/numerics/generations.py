r"""The generation operator on the nodes: the backward recursion behind a chain, in any arithmetic with arrays.

:math:`M=sP^2+R` is kept as a product of shrinkages and a remainder of rank-one terms, and :math:`1-P` beside :math:`P`, so that
every quantity is a sum of positive terms.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from collapse_theory.numerics.jets import column, same, where
from collapse_theory.numerics.measure import Measure

__all__ = ["run_generations"]


def run_generations(measure: Measure, stages: Sequence[tuple[Any, Any, Any, Any]]) -> tuple[Any, Any]:
    """Return bias and variance of the last fit of a chain.

    Args:
        measure: Eigenvalues and the energies of the target.
        stages: Blocks ``(kappa, residual, sigma, count)``, the tested fit last; each entry scalar or of shape (n, 1).
    """
    s = measure.nodes
    one = s / s
    product, lost, remainder, variance = one, 0 * one, 0 * one, np.zeros(1)
    for kappa, residual, sigma, count in reversed(stages):
        # Ratios alone: a power of kappa or s could leave the range of float64 where the product does not.
        c = kappa / (s + kappa)
        r = s / (s + kappa)
        noise = sigma**2
        repeats = np.asarray(count, dtype=float)
        for i in range(int(repeats.max())):
            t = column(measure.trace((s * product**2 + remainder) / (s + kappa) * r, rough=True)) / residual
            live = repeats > i
            after = (
                where(live, r**2 * remainder + s * c**2 * t, remainder),
                where(live, lost * r + c, lost),
                where(live, product * r, product),
            )
            if all(same(new, old) for new, old in zip(after, (remainder, lost, product), strict=True)):
                # Nothing changes any more: every generation that is left adds the same variance.
                variance = variance + where(live, (repeats - i) * noise * t, 0 * t)
                break
            variance = variance + where(live, noise * t, 0 * t)
            remainder, lost, product = after
    bias = measure.form(s * lost**2 + remainder)
    return bias, variance[..., 0]
