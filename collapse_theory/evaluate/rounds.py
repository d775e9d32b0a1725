"""Values of a formula that is derived anew for each number of rounds."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from collapse_theory.errors import DomainError
from collapse_theory.evaluate.arrays import float64_array
from collapse_theory.evaluate.measure import Spectra

if TYPE_CHECKING:
    from collapse_theory.describe.targets import Target
    from collapse_theory.evaluate.predictor import Predictor
    from collapse_theory.formula import ErrorFormula

__all__ = ["RoundsPredictor"]


class RoundsPredictor:
    """A formula per number of rounds at one spectrum and target; picklable, each ``n`` is derived once.

    Args:
        formula: A formula with ``rounds``.
        spectrum: Eigenvalues of the input covariance.
        target: Energies of the true coefficients.
    """

    def __init__(self, formula: ErrorFormula, spectrum: Spectra | None, target: Target | None) -> None:
        self.formula, self.spectrum, self.target = formula, spectrum, target
        self._predictors: dict[int, Predictor | RoundsPredictor] = {}

    def __call__(self, *, terms: bool = False, test_noise: Any = None, **values: Any) -> Any:
        """Return the test error; ``n`` may be an array like every other value.

        Raises:
            DomainError: If ``n`` is missing or not a non-negative integer, and as the formulas do.
        """
        counts = self._counts(values)
        distinct = [int(k) for k in np.unique(counts)]
        each = {k: self._at(k)(terms=True, test_noise=test_noise, **values) for k in distinct}
        names = list(next(iter(each.values())))
        out = {}
        for name in names:
            total = np.zeros(np.broadcast_shapes(counts.shape, np.shape(next(iter(each.values()))[name])))
            for k in distinct:
                total = np.where(counts == k, each[k][name], total)
            out[name] = float(total) if total.ndim == 0 else total
        return out if terms else sum(out.values())

    def digits(self, digits: int, *, terms: bool = False, test_noise: Any = None, **values: Any) -> Any:
        """Return the test error as an mpmath number; ``n`` is a scalar."""
        counts = self._counts(values)
        if counts.ndim:
            raise DomainError(f"n needs to be a scalar with digits=, got shape {counts.shape}; loop over it")
        return self._at(int(counts)).digits(digits, terms=terms, test_noise=test_noise, **values)

    def _counts(self, values: dict[str, Any]) -> np.ndarray:
        if "n" not in values:
            raise DomainError(f"{self.formula.name} needs a value for n, got none; pass n=...")
        counts = float64_array("n", values.pop("n"))
        bad = ~np.isfinite(counts) | (counts < 0) | (counts != np.floor(counts))
        if bad.any():
            got = float(counts[bad].flat[0])
            raise DomainError(f"{self.formula.name} needs n to be an integer >= 0, got {got:g}; change n")
        if counts.size == 0:
            raise DomainError(f"{self.formula.name} needs at least one n, got an empty array; pass n=...")
        return counts

    def _at(self, count: int) -> Predictor | RoundsPredictor:
        if count not in self._predictors:
            if self.formula.rounds is None:
                raise AssertionError("a formula without rounds has its own predictor")
            derived = self.formula.rounds(count)
            known = {x.name for x in derived.free_symbols}
            unused = tuple(x for x in self.formula.free_symbols if x.name not in known and x.name != "n")
            derived = replace(derived, name=self.formula.name, dropped=unused)
            self._predictors[count] = derived.compile(spectrum=self.spectrum, target=self.target)
        return self._predictors[count]
