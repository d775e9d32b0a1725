"""A scikit-learn estimator that learns from real and synthetic rows together: ``CollapseAwareRidge``."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from collapse_theory.core.errors import shown
from collapse_theory.study.labellers import estimate_truth

__all__ = ["CollapseAwareRidge"]

_MOST_GENERATIONS = 1000


class CollapseAwareRidge(RegressorMixin, BaseEstimator):
    """Ridge regression on real and synthetic rows, which weighs them by what labellers can know.

    A synthetic label repeats what its labeller believed, errors included: they are common to all its rows and do not average
    out. Here the error of a labeller has the law that theory gives a ridge fit, with a size that the rows show, and the
    ridge, the weight of each generation and how it depends on the direction follow
    (:mod:`collapse_theory.study.labellers`). Without synthetic rows it is ridge regression whose ridge maximises the evidence.

    Labellers are presumed to have been fit on rows that are not in ``X``. If they were fit on these real rows, the synthetic ones
    say nothing new: leave them out.

    Attributes:
        coef_: Coefficients, shape (d,).
        intercept_: Intercept.
        ridge_: Ridge on the mean squared error of the real rows.
        noise_: Estimated standard deviation of the noise of real labels.
        weights_: What a row of each generation says of the coefficients, in units of a real row; shape (generations,).

    >>> rng = np.random.default_rng(0)
    >>> X, w = rng.standard_normal((300, 20)), rng.standard_normal(20)
    >>> labeller = w + 0.5 * rng.standard_normal(20)
    >>> generation = np.repeat([0, 1], [60, 240])
    >>> y = X @ w + rng.standard_normal(300)
    >>> y[60:] = X[60:] @ labeller + rng.standard_normal(240)
    >>> model = CollapseAwareRidge().fit(X, y, generation)
    >>> bool(model.weights_[1] < 0.5), model.predict(X[:2]).shape
    (True, (2,))
    """

    def fit(self, X: Any, y: Any, generation: Any = None) -> CollapseAwareRidge:
        """Fit the model.

        Args:
            X: Inputs, shape (N, d), at least two rows.
            y: Targets, shape (N,).
            generation: One integer >= 0 per row: 0 is a real row, ``g`` a row labelled by a model that was fit on labels of
                generation ``g - 1``; some rows are real. None: all are.

        Raises:
            ValueError: If shapes do not match, a value is not finite, or there is no real row.
        """
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True, ensure_min_samples=2)
        found = estimate_truth(X, np.asarray(y, dtype=np.float64), _generations(generation, len(y)))
        self.coef_, self.intercept_ = found.coefficients, found.intercept
        self.ridge_, self.noise_, self.weights_ = found.ridge, found.noise, found.weights
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return predictions, shape (N,).

        Args:
            X: Inputs, shape (N, d).
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        predicted: np.ndarray = X @ self.coef_ + self.intercept_
        return predicted


def _generations(given: Any, rows: int) -> np.ndarray:
    """Return one generation per row.

    Raises:
        ValueError: As scikit-learn has it, if they are not one integer in range per row, or none is 0.
    """
    if given is None:
        return np.zeros(rows, dtype=int)
    generation = np.asarray(given)
    if generation.shape != (rows,):
        raise ValueError(f"generation needs one integer per row ({rows}), got shape {generation.shape}; align them")
    if generation.dtype.kind not in "iuf" or not np.all(generation == np.round(generation)):
        raise ValueError(f"generation needs integers, got {shown(given)}; write 0 for real rows, 1 for synthetic ones")
    if generation.min() < 0 or generation.max() > _MOST_GENERATIONS:
        raise ValueError(
            f"generation needs to be in 0 to {_MOST_GENERATIONS}, got {generation.min()} to {generation.max()}; count from 0"
        )
    if not np.any(generation == 0):
        raise ValueError("generation needs a 0, got none: without real rows nothing tells what the labellers got wrong")
    return generation.astype(int)
