"""The measures on the eigenvalues that every spectral integral is taken against, in any arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from collapse_theory.core.errors import DomainError, shown
from collapse_theory.describe.spectra import Spectrum
from collapse_theory.describe.targets import Target
from collapse_theory.numerics.jets import Jet
from collapse_theory.symbols import eigenvalue

__all__ = ["COMMON", "Measure", "Spectra", "check_pair", "live_directions"]

COMMON = eigenvalue.name
"""Name of the covariance of the samples that name none."""

Spectra = Spectrum | Mapping[str, Spectrum]
"""One spectrum, or one for each of several commuting covariances, listed in the common eigenbasis."""


@dataclass(frozen=True)
class Measure:
    r"""The counting measure and the energy measure on the eigenvalues, and the one place where integrals are taken.

    .. math:: \operatorname{tr}f(\Sigma)=\int f\,d\mu=\sum_jd_jf(s_j),\qquad
       w_0^\top f(\Sigma)w_0=\int f\,d\mu_{w_0}=\sum_je_jf(s_j).

    Commuting covariances share their nodes. The numbers are float64 or objects of another arithmetic, and
    so are the integrals.

    Attributes:
        values: Eigenvalues of each covariance at the nodes, by name, shape (k,); none for a space without covariance.
        counts: Number of directions at each node, shape (k,). Integrals are taken by the methods; this is for exact counting.
        energies: Sum of the target energies over each node's directions, shape (k,); None without a target.

    >>> measure = Measure({COMMON: np.array([2.0, 1.0])}, np.array([1, 3]), np.array([4.0, 0.5]))
    >>> measure.rank, float(measure.trace(measure.nodes)), float(measure.form(measure.nodes))
    (4, 5.0, 8.5)
    """

    values: Mapping[str, np.ndarray]
    counts: np.ndarray
    energies: np.ndarray | None = None

    # ------------------------------------------------------------------ integrals
    def trace(self, f: Any, *, rough: bool = False, column: bool = False) -> Any:
        """Return the integral of a function against the counting measure.

        Args:
            f: Values at the nodes, shape (..., k), or (..., 1) and () for a constant.
            rough: Whether a sum may be taken in the fastest order, where its round-off grows with the number of nodes.
            column: Whether to return integrals of shape (..., 1), which broadcast over the nodes.
        """
        total = _integral(f, self.counts, self._weights if rough else None)
        return _column(total) if column else total

    def form(self, f: Any, *, column: bool = False) -> Any:
        """Return the integral of a function against the energy measure; arguments as in :meth:`trace`.

        Raises:
            DomainError: Without a target.
        """
        if self.energies is None:
            raise DomainError("a quadratic form needs the energies of a target, got none; pass target=")
        total = _integral(f, self.energies, None)
        return _column(total) if column else total

    # ------------------------------------------------------------------ directions
    @property
    def size(self) -> int:
        """Number of nodes: the length of the arrays that are integrated."""
        return int(self.counts.shape[0])

    @cached_property
    def dimension(self) -> Any:
        """Number of directions."""
        return sum(self.counts.tolist())

    @cached_property
    def rank(self) -> int:
        """Number of live directions, in which a covariance is positive: what ``d`` means in thresholds and constants."""
        return int(self.counts[np.any([v > 0 for v in self.values.values()], axis=0)].sum())

    def above(self, x: np.ndarray) -> np.ndarray:
        """Return the number of directions whose common eigenvalue is at least ``x``."""
        s, _, _, from_node = self._ascending
        return np.asarray(from_node[np.searchsorted(s, x, side="left")])

    def leading(self, T: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return of the leading nodes with at most ``T`` directions: their directions, the last one, its count, the trace left.

        Where the first node alone has more directions than ``T``, it stands there with a count of 0.
        """
        s, counts, before, from_node = self._ascending
        first = np.searchsorted(-from_node, -T, side="left")  # the largest set of whole nodes with at most T directions
        at = np.minimum(first, s.size - 1)
        return from_node[first], s[at], np.where(first < s.size, counts[at], 0), before[first]

    @cached_property
    def _ascending(self) -> tuple[np.ndarray, ...]:
        """Nodes and counts in ascending order, the trace below each node, and the directions from each node upwards."""
        order = np.argsort(self.nodes, kind="stable")  # fast on nodes in order, as they mostly are
        s, counts = self.nodes[order], self.counts[order]
        if s.dtype != object:
            counts = counts.astype(float)
        from_node = np.append(counts[::-1].cumsum()[::-1], 0)
        return s, counts, np.append(0, np.cumsum(s * counts)), from_node

    @cached_property
    def _weights(self) -> np.ndarray:
        """The counts in the numbers of the nodes, which a matrix product is fast with."""
        if isinstance(self.counts, Jet) or self.counts.dtype.kind not in "iu":
            return self.counts
        return self.counts.astype(float)

    # ------------------------------------------------------------------ covariances
    @property
    def nodes(self) -> np.ndarray:
        """Eigenvalues of the common covariance."""
        return self.at(COMMON)

    def at(self, covariance: str) -> np.ndarray:
        """Return the eigenvalues of a covariance at the nodes.

        Raises:
            DomainError: If there is none of that name.
        """
        if covariance not in self.values:
            raise DomainError(
                f"spectrum needs the covariance {shown(covariance)}, got {', '.join(self.values)}; "
                f"pass spectrum={{{shown(covariance)}: ..., ...}} with all of them in the common eigenbasis"
            )
        return self.values[covariance]

    def over(self, covariances: Iterable[str]) -> Measure:
        """Return the measure of some of the covariances, in the same directions."""
        return Measure({name: self.at(name) for name in covariances}, self.counts, self.energies)

    def at_covariance(self, covariance: str | None) -> Measure:
        """Return the measure of one covariance alone, as the common one, on its own range."""
        s = self.at(covariance or COMMON)
        live = s > 0
        return Measure({COMMON: s[live]}, self.counts[live], None if self.energies is None else self.energies[live])

    def mapped(self, number: Callable[[np.ndarray], np.ndarray]) -> Measure:
        """Return the measure with a function applied to eigenvalues and energies: numbers of another arithmetic."""
        energies = None if self.energies is None else number(self.energies)
        return Measure({name: number(v) for name, v in self.values.items()}, self.counts, energies)

    # ------------------------------------------------------------------ from a spectrum and a target
    @classmethod
    def of(cls, spectrum: Spectra, target: Target | None = None) -> Measure:
        """Return the float64 measure of a spectrum, or of those of commuting covariances, and a target.

        Raises:
            DomainError: If spectra of commuting covariances differ in dimension, the target does not match, or a value is beyond
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


def _integral(f: Any, weights: np.ndarray, fast: np.ndarray | None) -> Any:
    """Return the sum of ``f * weights`` over the last axis."""
    if isinstance(f, Jet) or isinstance(weights, Jet):  # value and derivative alike
        return (f * weights).sum(axis=-1)
    f = np.asarray(f)
    if f.ndim == 0 or f.shape[-1] == 1 != weights.size:
        return (f if f.ndim == 0 else f[..., 0]) * weights.sum()
    if fast is not None and f.dtype != object:
        return f @ fast
    terms = f * weights
    if terms.dtype != object:
        return np.add.reduce(terms, axis=-1)
    total = terms.flat[0].context.fsum
    return np.array([total(row) for row in terms.reshape(-1, terms.shape[-1])], dtype=object).reshape(terms.shape[:-1])[
        ()
    ]


def _column(total: Any) -> Any:
    return (total if isinstance(total, Jet) else np.asarray(total))[..., None]


def check_pair(spectrum: Spectra, target: Target | None) -> None:
    """Check that the spectra of commuting covariances and the target go together.

    Raises:
        DomainError: If they do not.
    """
    if isinstance(spectrum, Mapping):
        sizes = {name: s.dimension for name, s in spectrum.items()}
        if len(set(sizes.values())) > 1:
            raise DomainError(f"spectra of commuting covariances need one dimension, got {sizes}; list all directions")
    if target is not None:
        target.check(_main(spectrum))


def live_directions(spectrum: Spectra) -> int:
    """Return the number of directions with variance: the rank, or that of the sum of commuting covariances."""
    if not isinstance(spectrum, Mapping):
        return spectrum.rank
    return int(np.any([np.repeat(s.positive, s.counts) for s in spectrum.values()], axis=0).sum())


def _energies(spectrum: Spectra, target: Target, each: Callable[..., Any], by_atom: Callable[..., Any]) -> Any:
    """Return the energies of every direction of commuting covariances, or of every atom of one spectrum."""
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
