"""Whether an expression has a deterministic equivalent at values, in float64."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from sympy import MatrixExpr

from collapse_theory.core.errors import DomainError
from collapse_theory.describe.spectra import Eigenvalues
from collapse_theory.engine.equivalent import DeterministicEquivalent, deterministic_equivalent
from collapse_theory.numerics.measure import Measure
from collapse_theory.numerics.steps import CheckExistence

__all__ = ["check_existence"]


def check_existence(step: CheckExistence, measure: Measure | None, arguments: Sequence[Any]) -> None:
    """Return if the expression of a step has an equivalent at every point.

    Args:
        step: The expression and its symbols.
        measure: Eigenvalues of its covariances; None if it has none.
        arguments: A value, or one for each point, of every symbol.

    Raises:
        DomainError: If there is no equivalent at a point.
        ConvergenceError: If that cannot be told.
    """
    equivalent = _equivalent(step.expression)
    if measure is not None and measure.extent is not None:
        raise DomainError(
            f"whether an expression has an equivalent needs every eigenvalue, got d={measure.rank}; take a smaller d"
        )
    spectra = {} if measure is None else {
        name: Eigenvalues(np.repeat(measure.at(name).astype(float), measure.counts)) for name in step.covariances
    }  # fmt: skip
    columns = np.broadcast_arrays(*(np.asarray(x, dtype=float).ravel() for x in arguments), np.zeros(1))[:-1]
    with np.errstate(all="ignore"):  # it checks its own numbers
        for point in zip(*columns, strict=True) if columns else [()]:
            equivalent.solve(spectra, **{x.name: float(v) for x, v in zip(step.symbols, point, strict=True)})


@lru_cache(maxsize=32)
def _equivalent(expression: MatrixExpr) -> DeterministicEquivalent:
    return deterministic_equivalent(expression)
