"""The two measures on the eigenvalues that every spectral integral is taken against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from collapse_theory.describe.spectra import Spectrum
from collapse_theory.describe.targets import Target

__all__ = ["Measure"]


@dataclass(frozen=True)
class Measure:
    """Atoms of the range of the covariance with counting and energy weights.

    Attributes:
        nodes: Distinct positive eigenvalues, shape (k,); float64, or objects of another arithmetic.
        counts: Number of eigenvectors of each, shape (k,).
        energies: Sum of the target energies over each atom's eigenvectors, shape (k,); None without a target.
        rank: Number of positive eigenvalues.
    """

    nodes: np.ndarray
    counts: np.ndarray
    energies: np.ndarray | None
    rank: int

    @classmethod
    def of(cls, spectrum: Spectrum, target: Target | None = None) -> Measure:
        """Return the float64 measure of a spectrum and a target on its range."""
        energies = None if target is None else target.energies(spectrum)
        return cls._build(spectrum.nodes, spectrum.counts, energies)

    @classmethod
    def exact(cls, spectrum: Spectrum, target: Target | None, mp: Any) -> Measure:
        """Return the measure with entries of the mpmath context ``mp``."""
        energies = None if target is None else np.array(target.exact_energies(spectrum, mp), dtype=object)
        return cls._build(np.array(spectrum.exact_nodes(mp), dtype=object), spectrum.counts, energies)

    @classmethod
    def _build(cls, nodes: np.ndarray, counts: np.ndarray, energies: np.ndarray | None) -> Measure:
        if energies is not None:
            energies = np.add.reduceat(energies, np.concatenate([[0], np.cumsum(counts)[:-1]]))
        live = nodes > 0
        nodes, counts = nodes[live], counts[live]
        energies = None if energies is None else energies[live]
        distinct, where = np.unique(nodes, return_inverse=True)
        if distinct.size < nodes.size:
            counts = _summed(counts, where, distinct.size)
            energies = None if energies is None else _summed(energies, where, distinct.size)
            nodes = distinct
        return cls(nodes, counts, energies, int(counts.sum()))


def _summed(values: np.ndarray, where: np.ndarray, size: int) -> np.ndarray:
    out = np.zeros(size, dtype=values.dtype)
    np.add.at(out, where, values)
    return out
