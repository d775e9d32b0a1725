"""What a family has to provide to be simulated: a trial, made from a pipeline and a setting."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np

from collapse_theory.describe.pipeline import Fit, Pipeline

__all__ = ["Setting", "SimulatedFamily", "Trial", "digest"]


@dataclass(frozen=True, eq=False)
class Setting:
    """The arguments of :func:`~collapse_theory.simulate.trials.simulate` that describe the problem, as given.

    Attributes:
        spectrum: Spectrum of the inputs, or a mapping from covariance names to spectra in one common eigenbasis.
        target: The true coefficients; a mapping by name where there are several truths.
        inputs: Real inputs, shape (N, p), whose rows are drawn with replacement.
        targets: Real targets, shape (N,).
        kernel: Kernel matrix of N points, shape (N, N).
        test_covariance: Name of the covariance of the test inputs; None is the common one.
        values: Values of the pipeline's symbols by name.
        measured: "test error", or "training error" or "cross-validation" of the last fit, or a measure of the family.
        overlaps: The overlaps of several truths.
    """

    spectrum: Any = None
    target: Any = None
    inputs: Any = None
    targets: Any = None
    kernel: Any = None
    test_covariance: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    measured: str = "test error"
    overlaps: Any = None


class Trial(Protocol):
    """One run of a pipeline: picklable, without state, a function of its random numbers only."""

    @property
    def fingerprint(self) -> str:
        """Hexadecimal digest of the problem, the same in every process; see :func:`digest`."""

    def __call__(self, rng: np.random.Generator) -> float:
        """Return the test error of one run that draws all its random numbers from ``rng``."""


@runtime_checkable
class SimulatedFamily(Protocol):
    """A family that can be simulated."""

    def trial(self, pipeline: Pipeline, model: Fit, setting: Setting) -> Trial:
        """Return the trial of ``model``, or raise an error of the package if ``setting`` does not fit the family."""


def digest(*parts: Any) -> str:
    """Return a SHA-256 digest of plain data (numbers, text, arrays, tuples, dataclasses of these).

    Unlike ``hash`` and pickles, it is the same in every process: numbers enter by ``repr``, which is exact for floats,
    arrays by shape and bytes.

    >>> digest(1, 2.5, "a") == digest(1, 2.5, "a")
    True
    >>> digest(np.array([1.0, 2.0])) == digest(np.array([2.0, 1.0]))
    False
    """
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            total.update(f"{part.dtype.str}{part.shape}".encode())
            total.update(np.ascontiguousarray(part).data)
        else:
            total.update(repr(part).encode())
        total.update(b"\x00")
    return total.hexdigest()
