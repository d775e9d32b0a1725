r"""Kernels of real points, for kernel ridge regression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from collapse_theory.core.numbers import real

__all__ = ["KERNELS", "Kernel", "PolynomialKernel", "RadialKernel"]


class Kernel(Protocol):
    """A positive semi-definite function of two points."""

    def __hash__(self) -> int:
        """Return the hash of its parameters: a data set is kept per kernel."""

    def matrix(self, X: np.ndarray) -> np.ndarray:
        """Return the kernel among the rows of ``X``, shape (N, N)."""


@dataclass(frozen=True)
class RadialKernel:
    r""":math:`k(x,x')=e^{-\gamma\|x-x'\|^2}`, the Gaussian (RBF) kernel.

    Args:
        gamma: Inverse squared length, > 0.

    >>> RadialKernel(gamma=1).matrix(np.array([[0.0], [0.0], [1.0]])).round(3).tolist()[2]
    [0.368, 0.368, 1.0]
    """

    gamma: Any

    def __post_init__(self) -> None:
        """Check the length."""
        real(self.gamma, "gamma", positive=True, number=True)

    def matrix(self, X: np.ndarray) -> np.ndarray:
        """Return the kernel among the rows of ``X``, shape (N, N)."""
        norms = np.square(X).sum(axis=1)
        distances = np.maximum(norms[:, None] + norms - 2 * X @ X.T, 0)
        np.fill_diagonal(distances, 0)  # where rounding leaves a little
        return np.asarray(np.exp(-float(self.gamma) * distances))


@dataclass(frozen=True)
class PolynomialKernel:
    r""":math:`k(x,x')=(\gamma\,x\cdot x'+c)^p`.

    Args:
        degree: ``p``, an integer >= 1.
        gamma: > 0; by default one over the number of columns.
        offset: ``c`` >= 0.

    >>> PolynomialKernel(degree=2, gamma=1).matrix(np.array([[1.0], [2.0]])).tolist()
    [[4.0, 9.0], [9.0, 25.0]]
    """

    degree: Any
    gamma: Any = None
    offset: Any = 1

    def __post_init__(self) -> None:
        """Check the numbers."""
        real(self.degree, "degree", positive=True, integer=True, number=True, most=100)
        if self.gamma is not None:
            real(self.gamma, "gamma", positive=True, number=True)
        real(self.offset, "offset", nonnegative=True, number=True)

    def matrix(self, X: np.ndarray) -> np.ndarray:
        """Return the kernel among the rows of ``X``, shape (N, N)."""
        gamma = 1 / X.shape[1] if self.gamma is None else float(self.gamma)
        return np.asarray((gamma * (X @ X.T) + float(self.offset)) ** int(self.degree))


KERNELS = {"rbf": RadialKernel, "polynomial": PolynomialKernel}
"""What pipeline files call them."""
