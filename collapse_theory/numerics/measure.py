"""The measures on the eigenvalues that every spectral integral is taken against."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from collapse_theory.core.errors import DomainError, shown
from collapse_theory.describe.spectra import Spectrum
from collapse_theory.describe.targets import Target
from collapse_theory.symbols import eigenvalue

__all__ = ["COMMON", "Measure", "Spectra", "check_pair", "live_directions"]

COMMON = eigenvalue.name
"""Name of the covariance of the samples that name none."""

Spectra = Spectrum | Mapping[str, Spectrum]
"""One spectrum, or one per covariance of a commuting family, listed in the common eigenbasis."""


@dataclass(frozen=True)
class Measure:
    """Atoms of the range of the covariances with counting and energy weights.

    Attributes:
        values: Eigenvalues of each covariance at the atoms, by name, shape (k,); float64, or objects of another arithmetic.
            At each atom one of them is positive.
        counts: Number of eigenvectors of each atom, shape (k,).
        energies: Sum of the target energies over each atom's eigenvectors, shape (k,); None without a target.
    """

    values: Mapping[str, np.ndarray]
    counts: np.ndarray
    energies: np.ndarray | None

    @property
    def rank(self) -> int:
        """Number of live directions: what ``d`` means in thresholds and constants."""
        return int(self.counts.sum())

    @property
    def nodes(self) -> np.ndarray:
        """Eigenvalues of the common covariance."""
        return self.at(COMMON)

    def at(self, covariance: str) -> np.ndarray:
        """Return the eigenvalues of a covariance at the atoms.

        Raises:
            DomainError: If the family has none of that name.
        """
        if covariance not in self.values:
            raise DomainError(
                f"spectrum needs the covariance {shown(covariance)}, got {', '.join(self.values)}; "
                f"pass spectrum={{{shown(covariance)}: ..., ...}} with all of them in the common eigenbasis"
            )
        return self.values[covariance]

    def at_covariance(self, covariance: str | None) -> Measure:
        """Return the measure of one covariance alone, as the common one, on its own range."""
        s = self.at(covariance or COMMON)
        live = s > 0
        return Measure({COMMON: s[live]}, self.counts[live], None if self.energies is None else self.energies[live])

    @classmethod
    def of(cls, spectrum: Spectra, target: Target | None = None) -> Measure:
        """Return the float64 measure of a spectrum, or of a commuting family, and a target.

        Raises:
            DomainError: If the members of a family differ in dimension, the target does not match, or a value is beyond
                float64.
        """
        energies = None if target is None else _energies(spectrum, target, target.energies, target.atom_energies)
        return cls._build(spectrum, lambda s: s.nodes, energies)

    @classmethod
    def exact(cls, spectrum: Spectra, target: Target | None, mp: Any) -> Measure:
        """Return the measure with entries of the mpmath context ``mp``."""
        energies = None
        if target is not None:
            each, by_atom = (partial(f, mp=mp) for f in (target.exact_energies, target.exact_atom_energies))
            energies = np.array(_energies(spectrum, target, each, by_atom), dtype=object)
        return cls._build(spectrum, lambda s: np.array(s.exact_nodes(mp), dtype=object), energies)

    @classmethod
    def _build(cls, spectrum: Spectra, nodes: Callable[[Spectrum], np.ndarray], energies: np.ndarray | None) -> Measure:
        if isinstance(spectrum, Mapping):
            values = {name: np.repeat(nodes(s), s.counts) for name, s in spectrum.items()}
            counts = np.ones(next(iter(spectrum.values())).listed, dtype=np.int64)
        else:
            values, counts = {COMMON: nodes(spectrum)}, spectrum.counts
        live = np.any([v > 0 for v in values.values()], axis=0)
        values, counts = {name: v[live] for name, v in values.items()}, counts[live]
        energies = None if energies is None else energies[live]
        if len(values) > 1:
            return cls(values, counts, energies)
        ((name, only),) = values.items()
        distinct, where = np.unique(only, return_inverse=True)
        if distinct.size < only.size:
            counts = _summed(counts, where, distinct.size)
            energies = None if energies is None else _summed(energies, where, distinct.size)
            values = {name: distinct}
        return cls(values, counts, energies)


def check_pair(spectrum: Spectra, target: Target | None) -> None:
    """Check that the members of a family and the target go together.

    Raises:
        DomainError: If they do not.
    """
    if isinstance(spectrum, Mapping):
        sizes = {name: s.dimension for name, s in spectrum.items()}
        if len(set(sizes.values())) > 1:
            raise DomainError(f"spectra of a commuting family need one dimension, got {sizes}; list all directions")
    if target is not None:
        target.check(_main(spectrum))


def live_directions(spectrum: Spectra) -> int:
    """Return the number of directions with variance: the rank, or that of the sum of a family."""
    if not isinstance(spectrum, Mapping):
        return spectrum.rank
    return int(np.any([np.repeat(s.positive, s.counts) for s in spectrum.values()], axis=0).sum())


def _energies(spectrum: Spectra, target: Target, each: Callable[..., Any], by_atom: Callable[..., Any]) -> Any:
    """Return the energies of every direction of a family, or of every atom of one spectrum."""
    check_pair(spectrum, target)
    return each(_main(spectrum)) if isinstance(spectrum, Mapping) else by_atom(spectrum)


def _main(spectrum: Spectra) -> Spectrum:
    """Return the spectrum that a target pairs with: the common one if there is one, else the first."""
    if not isinstance(spectrum, Mapping):
        return spectrum
    if not spectrum:
        raise DomainError("spectrum needs at least one covariance, got an empty mapping; pass a spectrum")
    return spectrum.get(COMMON) or next(iter(spectrum.values()))


def _summed(values: np.ndarray, where: np.ndarray, size: int) -> np.ndarray:
    out = np.zeros(size, dtype=values.dtype)
    np.add.at(out, where, values)
    return out
