"""The measures on the eigenvalues that every spectral integral is taken against, in any arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache, partial
from typing import Any, cast
from weakref import WeakKeyDictionary

import numpy as np

from collapse_theory.core.errors import DomainError, shown
from collapse_theory.core.precision import exact_context
from collapse_theory.describe.spectra import PowerLaw, Spectrum
from collapse_theory.describe.targets import Target, held
from collapse_theory.describe.truths import ENERGIES, Pair, Truths
from collapse_theory.numerics.compression import compress, panel_floor
from collapse_theory.numerics.jets import Jet, value_of
from collapse_theory.numerics.octaves import Octaves
from collapse_theory.numerics.panels import Directions, Extent, Power, power_law_directions, usable_length
from collapse_theory.symbols import eigenvalue

__all__ = [
    "COMMON",
    "DEPTH",
    "Measure",
    "Spectra",
    "TooShallow",
    "at_depth",
    "check_pair",
    "live_directions",
    "long_power_law",
]

COMMON = eigenvalue.name
"""Name of the covariance of the samples that name none."""

Spectra = Spectrum | Mapping[str, Spectrum]
"""One spectrum, or one for each of several commuting covariances, listed in the common eigenbasis."""

DEPTH = 32
"""Octaves below the largest eigenvalue to which an endless spectrum is resolved at first."""

_DIVERGES = 32  # a function that vanishes at zero varies less over the tail, whose ends are farther apart


class TooShallow(Exception):  # noqa: N818 - no error: whoever built the measure builds a deeper one
    """A ridge below what the measure of an endless spectrum resolves.

    Args:
        octaves: How many octaves deeper it should be; None where float64 has no numbers for that.
    """

    def __init__(self, octaves: float | None) -> None:
        super().__init__(octaves)
        self.octaves = octaves


def at_depth(compute: Callable[[int], Any], octaves: int = DEPTH) -> Any:
    """Return what is computed on measures that are deep enough.

    Args:
        compute: A function of the depth, in octaves below the largest eigenvalue.
        octaves: The depth to begin with.

    Raises:
        TooShallow: If float64 has no numbers for the depth that is needed.
    """
    while True:
        try:
            return compute(octaves)
        except TooShallow as e:
            if e.octaves is None:
                raise
            octaves += min(
                max(math.ceil(e.octaves), DEPTH), octaves
            )  # a root on a measure too shallow is no more than a hint


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
        offsets: The same sums for every other pair of truths, of the products of ``w0`` and of offsets from it, which have both
            signs (:mod:`collapse_theory.describe.truths`).
        extent: Of nodes that are a quadrature (:mod:`.panels`), what they stand for; counts are then weights. None if every
            direction is at its node.

    >>> measure = Measure({COMMON: np.array([2.0, 1.0])}, np.array([1, 3]), np.array([4.0, 0.5]))
    >>> measure.rank, float(measure.trace(measure.nodes)), float(measure.form(measure.nodes))
    (4, 5.0, 8.5)
    """

    values: Mapping[str, np.ndarray]
    counts: np.ndarray
    energies: np.ndarray | None = None
    extent: Extent | None = None
    offsets: Mapping[Pair, np.ndarray] = field(default_factory=dict)

    # ------------------------------------------------------------------ integrals
    def trace(self, f: Any, *, rough: bool = False, column: bool = False) -> Any:
        """Return the integral of a function against the counting measure.

        Args:
            f: Values at the nodes, shape (..., k), or (..., 1) and () for a constant.
            rough: Whether a sum may be taken in the fastest order, where its round-off grows with the number of nodes.
            column: Whether to return integrals of shape (..., 1), which broadcast over the nodes.
        """
        if self.extent is not None:
            self.check_vanishing(f, self.extent.tail)
        total = _integral(f, self.counts, self.weights if rough else None)
        return _column(total) if column else total

    def form(self, f: Any, *, rough: bool = False, column: bool = False, truths: Pair = ENERGIES) -> Any:
        """Return the integral of a function against the energy measure, or that of two truths; arguments as in :meth:`trace`.

        Raises:
            DomainError: Without a target, or without that of a truth.
        """
        weights = self.energies if truths == ENERGIES else self.offsets.get(truths)
        if weights is None:
            raise _no_target(self, truths)
        if self.extent is not None:
            self.check_vanishing(f, self.extent.energetic)
        total = _integral(f, weights, weights if rough else None)
        return _column(total) if column else total

    def integral(self, truths: Pair | None) -> Callable[..., Any]:
        """Return the method that integrates against the products of two truths; None is the counting measure."""
        return self.trace if truths is None else partial(self.form, truths=truths)

    def sizes(self, truths: Pair | None) -> Callable[[Any], Any]:
        """Return the same against the sizes of these products, over the nodes alone."""
        plain = self.plain.integral(truths)
        if truths is None or truths == ENERGIES:
            return plain
        signs = np.sign(self.offsets.get(truths, np.zeros(self.size)))
        return lambda f: plain(f * signs)

    def products(self, left: Any, right: Any) -> Any:
        """Return the integrals of all products of stacked functions against the counting measure, in the fastest order.

        Args:
            left: Values at the nodes, shape (..., n, k).
            right: Values at the nodes, shape (..., m, k).

        Returns:
            Array of shape (..., n, m).
        """
        return (left * self.counts) @ right.swapaxes(-1, -2)

    @cached_property
    def plain(self) -> Measure:
        """The measure whose nodes are all there is: sums over them, whatever these say of an endless spectrum."""
        return self if self.extent is None else replace(self, extent=None)

    def check_vanishing(self, f: Any, ends: tuple[int, ...]) -> None:
        """Check that a function has an integral over the tail of an endless spectrum, where it needs to vanish at zero.

        Raises:
            DomainError: If it does not.
        """
        if not ends:
            return
        far, near = ends
        f = np.asarray(value_of(f))
        first, last = (abs(f if f.ndim == 0 else f[..., i if f.shape[-1] == self.size else 0]) for i in (far, near))
        s = np.max(list(self.values.values()), axis=0)
        if np.any(first * s[near] > _DIVERGES * last * s[far]):
            raise DomainError(
                "an integral over the directions needs a finite d, got d=oo, where it diverges: its function does not vanish with "
                "the eigenvalue; take a finite d"
            )

    # ------------------------------------------------------------------ directions
    @property
    def size(self) -> int:
        """Number of nodes: the length of the arrays that are integrated."""
        return int(self.counts.shape[0])

    @cached_property
    def dimension(self) -> Any:
        """Number of directions."""
        return sum(self.counts.tolist()) if self.extent is None else self.extent.directions

    @cached_property
    def rank(self) -> int | float:
        """Number of live directions, in which a covariance is positive: what ``d`` means in thresholds and constants."""
        if self.extent is not None:
            return self.extent.directions
        live = np.logical_or.reduce([v > 0 for v in self.values.values()])
        if live.all():
            return int(self.counts.sum() if any(self.counts.strides) else self.size * self.counts[0])
        return int(self.counts[live].sum())

    def directions(self, chosen: Any) -> int | float:
        """Return the number of directions at some of the nodes; of a quadrature, all or none.

        Args:
            chosen: Boolean, shape (k,).
        """
        if self.extent is not None:
            return self.rank if chosen.any() else 0
        return int(self.counts[chosen].sum())

    def check_depth(self, shares: np.ndarray | None = None, *, kappa: np.ndarray | None = None) -> None:
        r"""Check that an endless spectrum is resolved down to the ridges.

        Args:
            shares: :math:`\kappa/(s+\kappa)` at the nodes, shape (..., k); or
            kappa: the ridges themselves.

        Raises:
            TooShallow: If it is not.
        """
        if self.extent is None or not self.extent.tail:
            return
        near = self.extent.tail[1]
        if kappa is None:
            if shares is None or np.all(shares[..., near] >= _RESOLVED / (1 + _RESOLVED)):
                return
            raise TooShallow(0)
        least = kappa.min(initial=math.inf)
        if least < _RESOLVED * self.nodes[near]:
            raise TooShallow(0 if least == 0 else math.log2(float(_RESOLVED * self.nodes[near] / least)) + 1)

    def split(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return boundaries at or near each ``x``, and the number of directions whose common eigenvalue is at least that.

        The number is exact, also where nodes stand for many directions: the boundary is then one between panels.
        """
        if self.extent is not None and self.extent.floors is not None:
            at = np.searchsorted(self.extent.floors, panel_floor(x))
            return self.extent.floors[at], self.extent.above[at]
        s, _, _, from_node = self._ascending
        return x, np.asarray(from_node[np.searchsorted(s, x, side="left")])

    @cached_property
    def total(self) -> float:
        """The weight of all live directions: the rank, where they are counted."""
        return float(self.split(np.zeros(1))[1][0])

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
        if (
            self.extent is not None and self.extent.directions != math.inf
        ):  # from the end that is nearer: at T = d they count exactly
            below = np.append(0, np.cumsum(counts))
            from_node = np.where(2 * below < self.extent.directions, self.extent.directions - below, from_node)
        return s, counts, np.append(0, np.cumsum(s * counts)), from_node

    @cached_property
    def weights(self) -> np.ndarray:
        """The counts in the numbers of the nodes, which a matrix product is fast with."""
        if isinstance(self.counts, Jet) or self.counts.dtype.kind not in "iu":
            return self.counts
        return self.counts.astype(float)

    # ------------------------------------------------------------------ fewer nodes
    @cached_property
    def compressed(self) -> Measure:
        """The measure on few nodes, where integrals of up to :data:`.ORDER` resolvents are the same; itself where it has few.

        See :mod:`.compression`. Commuting covariances, and what float64 has lost digits of, are not compressed.
        """
        if len(self.values) != 1 or self.extent is not None or self.size < _FEW or self.offsets:
            return self
        ((name, s),), e = self.values.items(), self.energies
        if (
            s.dtype == object
            or not isinstance(self.counts, np.ndarray)
            or (e is not None and e.min() <= _TINY and (e == _TINY).any())
        ):
            return self
        nodes = compress(s, self.counts, *(() if e is None else (e,)))
        if 2 * nodes.values.size > self.size or nodes.floors[0] < _TINY:
            return self
        above = np.append(nodes.sizes[::-1].cumsum()[::-1], 0).astype(float)
        extent = Extent(int(nodes.sizes.sum()), floors=np.append(nodes.floors, np.inf), above=above)
        counts, *energies = nodes.weights
        return Measure({name: nodes.values}, counts, energies[0] if energies else None, extent)

    @cached_property
    def unit(self) -> tuple[Measure, int]:
        """The compressed counts over a power of two, its exponent, that brings the largest node to [1/2, 1); exact unless tiny."""
        exponent = int(np.frexp(self.nodes.max())[1])
        few = self.compressed
        extent = few.extent
        with np.errstate(under="ignore"):
            if extent is not None and extent.floors is not None:
                extent = replace(extent, floors=np.ldexp(extent.floors, -exponent))
            return replace(few, values={COMMON: np.ldexp(few.nodes, -exponent)}, energies=None, extent=extent), exponent

    @cached_property
    def octaves(self) -> Octaves:
        """The degrees of freedom by octave of the ridge."""
        return Octaves.of(self)

    @cached_property
    def tables(self) -> dict[Any, Any]:
        """The tables of integrals so far (:mod:`.trace_tables`), by integrand."""
        return {}

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
        if set(covariances := tuple(covariances)) == set(self.values):
            return self  # with all that was computed on it
        return replace(self, values={name: self.at(name) for name in covariances})

    def at_covariance(self, covariance: str | None) -> Measure:
        """Return the measure of one covariance alone, as the common one, on its own range."""
        s = self.at(covariance or COMMON)
        live = s > 0
        if live.all():
            return replace(self, values={COMMON: s})
        energies = None if self.energies is None else self.energies[live]
        return Measure(
            {COMMON: s[live]}, self.counts[live], energies, offsets={k: x[live] for k, x in self.offsets.items()}
        )

    def mapped(self, number: Callable[[np.ndarray], np.ndarray]) -> Measure:
        """Return the measure with a function applied to eigenvalues, energies and weights: numbers of another arithmetic."""
        energies = None if self.energies is None else number(self.energies)
        counts = self.counts if self.extent is None else number(self.counts)
        offsets = {pair: number(x) for pair, x in self.offsets.items()}
        return Measure({name: number(v) for name, v in self.values.items()}, counts, energies, self.extent, offsets)

    # ------------------------------------------------------------------ from a spectrum and a target
    @classmethod
    def of(cls, spectrum: Spectra, target: Target | None = None, *, octaves: int = DEPTH) -> Measure:
        """Return the float64 measure of a spectrum, or of those of commuting covariances, and a target.

        Args:
            spectrum: The eigenvalues.
            target: The energies.
            octaves: How far below its largest eigenvalue an endless spectrum is resolved.

        Raises:
            DomainError: If spectra of commuting covariances differ in dimension, the target does not match, or a value is beyond
                float64.
            TooShallow: If the depth is.
        """
        long = _is_long(spectrum, target, _FLOAT64_BITS)
        if not isinstance(spectrum, Spectrum):
            return cls._of(spectrum, target, octaves, long=long)
        known, key = _measures.setdefault(spectrum, {}), (target, octaves, long)
        if key not in known:
            measure = cls._of(spectrum, target, octaves, long=long)
            while len(known) >= _REMEMBERED:
                known.pop(next(iter(known)))
            known[key] = measure
        return known[key]

    @classmethod
    def _of(cls, spectrum: Spectra, target: Target | None, octaves: int, *, long: bool) -> Measure:
        if long:
            return _long_float64(*cast("tuple[str, PowerLaw]", _only(spectrum)), target, octaves)
        energies = None if target is None else _energies(spectrum, target, target.energies, target.atom_energies)
        offsets = _offsets(spectrum, target, lambda truths, main: truths.offsets(main))
        return cls._build(spectrum, lambda s: s.nodes, energies, offsets)._merged()

    @classmethod
    def of_atoms(cls, nodes: np.ndarray, counts: Sequence[float], energies: np.ndarray) -> Measure:
        """Return the measure of atoms, shape (k,), in the numbers of the nodes; the energies may be none, of shape (0,).

        Raises:
            DomainError: If an eigenvalue is not positive, or a count is no integer >= 0.
        """
        if not all(s > 0 for s in nodes):
            raise DomainError(
                f"an eigenvalue needs to be > 0, got {float(min(nodes)):g}; leave out directions without variance"
            )
        whole = np.array(counts, dtype=np.int64)
        if (whole < 0).any() or (whole != counts).any():
            raise DomainError(
                f"directions of an eigenvalue need to be an integer >= 0, got {min(counts):g}; d counts the spikes too"
            )
        there = whole > 0
        return cls({COMMON: nodes[there]}, whole[there], energies[there] if energies.size else None)._merged()

    @classmethod
    def exact(cls, spectrum: Spectra, target: Target | None, mp: Any, *, octaves: int = DEPTH) -> Measure:
        """Return the measure with entries of the mpmath context ``mp``; arguments as in :meth:`of`."""
        if _is_long(spectrum, target, mp.prec):
            name, law = cast("tuple[str, PowerLaw]", _only(spectrum))
            return _quadrature(name, _long(law, target, mp, mp.prec, octaves), partial(np.array, dtype=object))
        return cls.listed(spectrum, target, mp)._merged()

    @classmethod
    def listed(cls, spectrum: Spectra, target: Target | None, mp: Any) -> Measure:
        """Return the measure of every atom of the spectrum in a context of mpmath, or of balls; equal ones stay apart."""
        energies = None
        if target is not None:
            each, by_atom = (partial(f, mp=mp) for f in (target.exact_energies, target.exact_atom_energies))
            energies = np.array(_energies(spectrum, target, each, by_atom), dtype=object)
        offsets = _offsets(spectrum, target, lambda truths, main: truths.exact_offsets(main, mp))
        return cls._build(spectrum, lambda s: np.array(s.exact_nodes(mp), dtype=object), energies, offsets)

    @classmethod
    def _build(
        cls,
        spectrum: Spectra,
        nodes: Callable[[Spectrum], np.ndarray],
        energies: np.ndarray | None,
        offsets: Mapping[Pair, np.ndarray],
    ) -> Measure:
        if isinstance(spectrum, Mapping):
            values = {name: np.repeat(nodes(s), s.counts) for name, s in spectrum.items()}
            counts = np.ones(next(iter(spectrum.values())).listed, dtype=np.int64)
        else:
            values, counts = {COMMON: nodes(spectrum)}, spectrum.counts
            if spectrum.rank == spectrum.dimension:
                return cls(values, counts, energies, offsets=offsets)
        live = np.logical_or.reduce([v > 0 for v in values.values()])
        if not live.all():
            values, counts = {name: v[live] for name, v in values.items()}, counts[live]
            energies = None if energies is None else energies[live]
            offsets = {pair: x[live] for pair, x in offsets.items()}
        return cls(values, counts, energies, offsets=offsets)

    def _merged(self) -> Measure:
        """Return the measure with each eigenvalue of a lone covariance once."""
        if len(self.values) > 1:
            return self
        ((name, only),) = self.values.items()
        if _in_order(only):
            return self
        distinct, where = np.unique(only, return_inverse=True)
        if distinct.size == only.size:
            return self
        counts, energies = self.counts, self.energies
        if energies is not None:
            energies = _summed(energies, where, distinct.size)
        offsets = {pair: _summed(x, where, distinct.size) for pair, x in self.offsets.items()}
        return type(self)({name: distinct}, _summed(counts, where, distinct.size), energies, offsets=offsets)


_REMEMBERED = 4
_measures: WeakKeyDictionary[Spectrum, dict[Any, Measure]] = WeakKeyDictionary()
"""The last few measures of each spectrum, kept for as long as it, with all that was computed on them."""


def _in_order(s: np.ndarray) -> bool:
    """Say whether eigenvalues rise or fall throughout: to see that takes far less than to sort them."""
    if s.size < 2 or s.dtype == object:
        return s.size < 2
    return bool((s[1:] < s[:-1]).all() if s[1] < s[0] else (s[1:] > s[:-1]).all())


_FEW = 64  # nodes that are not worth compressing
_FLOAT64_BITS = 53
_RESOLVED = 4  # a ridge over the nearest node of the tail
_TINY = np.finfo(float).tiny


def _only(spectrum: Spectra) -> tuple[str, Spectrum]:
    return next(iter(spectrum.items())) if isinstance(spectrum, Mapping) else (COMMON, spectrum)


def long_power_law(spectrum: Spectra, target: Target | None) -> tuple[str, PowerLaw] | None:
    """Return the name and the law of a lone power law that is not listed, whose target is a power too; None of any other."""
    return cast("tuple[str, PowerLaw]", _only(spectrum)) if _is_long(spectrum, target, _FLOAT64_BITS) else None


def _is_long(spectrum: Spectra, target: Target | None, bits: int) -> bool:
    """Say whether a spectrum is one power law that is not listed."""
    _, law = _only(spectrum)
    if (isinstance(spectrum, Mapping) and len(spectrum) > 1) or not (isinstance(law, PowerLaw) and law.long):
        return False
    check_pair(spectrum, target)
    with exact_context(_FLOAT64_BITS) as mp:
        beta = -float(law.law(mp)[1])
        return law.endless or (
            law.dimension >= usable_length(beta, bits) and (target is None or target.law(law, mp) is not None)
        )


def _long(law: PowerLaw, target: Target | None, mp: Any, bits: int, octaves: int) -> Directions:
    """Return the directions of a power law that is not listed, in numbers of the context ``mp``."""
    energies = None if target is None else target.law(law, mp)
    return power_law_directions(
        Power(*law.law(mp)), None if energies is None else Power(*energies), law.rank, mp, bits=bits, octaves=octaves
    )


def _quadrature(name: str, found: Directions, array: Callable[[Any], np.ndarray]) -> Measure:
    energies = None if found.energies is None else array(found.energies)
    return Measure({name: array(found.values)}, array(found.counts), energies, found.extent)


@lru_cache(maxsize=32)
def _long_float64(name: str, law: PowerLaw, target: Target | None, octaves: int) -> Measure:
    with exact_context(_FLOAT64_BITS + 30) as mp:
        exact = _long(law, target, mp, _FLOAT64_BITS, octaves)
        found = _quadrature(name, exact, lambda x: np.array([float(v) for v in x]))
    s = found.at(name)
    if not (s.min() >= _TINY and np.isfinite(s.max()) and np.isfinite(found.counts.max())):
        if law.endless and np.isfinite(s.max()):
            raise TooShallow(None)
        raise DomainError(
            f"{law} needs eigenvalues that fit float64, got some from {s.min():.3g} to {s.max():.3g}; rescale it, or use digits="
        )
    if target is None or exact.energies is None or found.energies is None:
        return found
    return replace(found, energies=held(target, found.energies, np.array([e > 0 for e in exact.energies])))


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
    if not hasattr(terms.flat[0], "context"):
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
    if isinstance(spectrum, Mapping) and len(spectrum) > 1:
        sizes = {name: s.dimension for name, s in spectrum.items()}
        if len(set(sizes.values())) > 1:
            raise DomainError(f"spectra of commuting covariances need one dimension, got {sizes}; list all directions")
    if target is not None:
        target.check(_main(spectrum))


def live_directions(spectrum: Spectra) -> int | float:
    """Return the number of directions with variance: the rank, or that of the sum of commuting covariances."""
    if not isinstance(spectrum, Mapping):
        return spectrum.rank
    if len(spectrum) == 1:
        return _only(spectrum)[1].rank
    return int(np.any([np.repeat(s.positive, s.counts) for s in spectrum.values()], axis=0).sum())


def _energies(spectrum: Spectra, target: Target, each: Callable[..., Any], by_atom: Callable[..., Any]) -> Any:
    """Return the energies of every direction of commuting covariances, or of every atom of one spectrum."""
    check_pair(spectrum, target)
    return each(_main(spectrum)) if isinstance(spectrum, Mapping) else by_atom(spectrum)


def _offsets(
    spectrum: Spectra, target: Target | None, each: Callable[[Truths, Spectrum], Mapping[Pair, np.ndarray]]
) -> dict[Pair, np.ndarray]:
    """Return the products of several truths, of every direction of commuting covariances, or of every atom of one spectrum."""
    if not isinstance(target, Truths):
        return {}
    main = _main(spectrum)
    found = each(target, main)
    if isinstance(spectrum, Mapping) or main.counts.size == main.listed:
        return dict(found)
    starts = np.concatenate([[0], np.cumsum(main.counts)[:-1]])
    return {pair: np.add.reduceat(x, starts) for pair, x in found.items()}


def _no_target(measure: Measure, truths: Pair) -> DomainError:
    if measure.energies is None:
        return DomainError("a quadratic form needs the energies of a target, got none; pass target=")
    known = {name for pair in (ENERGIES, *measure.offsets) for name in pair}
    missing = next(name for name in truths if name not in known)
    return DomainError(
        f"target needs the coefficients of the truth {shown(missing)}, which labels rows, got {', '.join(sorted(known))}; pass "
        f"target={{'w0': ct.Coefficients(...), {missing!r}: ct.Coefficients(...)}}"
    )


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
