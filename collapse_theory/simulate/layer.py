r"""Random features with an activation: the hidden layer of a network, or its Gaussian equivalent.

On rows ``X`` a layer of ``m`` features sees :math:`\sqrt{\operatorname{tr}\Sigma/m}\,(\varphi(u)-\mu_0)` of pre-activations
:math:`u=\sqrt{m/\operatorname{tr}\Sigma}\,XF`, which have unit variance; its equivalent :math:`\mu_1XF` and noise
(:mod:`collapse_theory.describe.activations`). A model is its coefficients on the inputs, then those on the features of each layer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from collapse_theory.describe.activations import Activation

__all__ = ["Layer"]


@dataclass(eq=False)
class Layer:
    """One set of features in one run.

    Attributes:
        F: The weights, shape (d, m).
        activation: The activation.
        trace: Trace of the covariance of the inputs.
        rng: Draws the noise of an equivalent.
        place: Where models that are coefficients have those on these features.
    """

    F: np.ndarray
    activation: Activation
    trace: float
    rng: np.random.Generator
    place: slice = field(default_factory=lambda: slice(0))
    _seen: dict[int, np.ndarray] = field(default_factory=dict)

    @property
    def noise(self) -> float:
        """Standard deviation of the noise of one feature of an equivalent."""
        return self.activation.residual * math.sqrt(self.trace / self.F.shape[1])

    def rows(self, X: np.ndarray, design: int | None = None) -> np.ndarray:
        """Return the features of rows; those of a design are the same each time."""
        if design in self._seen:
            return self._seen[design]
        seen = X @ self.F
        if self.activation.gaussian:
            seen = self.activation.linear * seen + self.noise * self.rng.standard_normal(seen.shape)
        else:
            scale = math.sqrt(self.F.shape[1] / self.trace)
            seen = (self.activation(scale * seen) - self.activation.mean) / scale
        if design is not None:
            self._seen[design] = seen
        return np.asarray(seen)

    def forget(self, design: int) -> None:
        """Forget the rows of a design that no later step uses."""
        self._seen.pop(design, None)
