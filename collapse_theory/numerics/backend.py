"""Whose arrays a predictor computes with: NumPy's or, an optional extra, those of JAX."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from collapse_theory.core.errors import DomainError, nearest, shown
from collapse_theory.describe.targets import Target
from collapse_theory.describe.truths import Tasks
from collapse_theory.numerics.measure import Spectra
from collapse_theory.numerics.predictor import Predictor

if TYPE_CHECKING:
    from collapse_theory.derive.formula import ErrorFormula

__all__ = ["BACKENDS", "predictor_of"]

BACKENDS = ("numpy", "jax")
"""Libraries of arrays."""


def predictor_of(
    formula: ErrorFormula,
    *,
    spectrum: Spectra | None,
    target: Target | Tasks | None,
    overlaps: Any = None,
    backend: str = "numpy",
) -> Predictor:
    """Return a formula at one spectrum and target; arguments as of :meth:`.ErrorFormula.compile`.

    Raises:
        DomainError: If the formula does not take them, there is no such back end, or it is not installed.
    """
    if not isinstance(backend, str) or backend not in BACKENDS:
        raise DomainError(f'backend needs to be "numpy" or "jax", got {shown(backend)}{nearest(backend, BACKENDS)}')
    given = (formula.program, formula.name, spectrum, target, overlaps)
    if backend == "numpy":
        return Predictor(*given)
    if find_spec("jax") is None:
        raise DomainError(
            "backend=\"jax\" needs JAX, which is not installed; pip install 'collapse-theory[jax]', or leave backend out"
        )
    from collapse_theory.numerics.jax_predictor import JaxPredictor

    return JaxPredictor(*given)
