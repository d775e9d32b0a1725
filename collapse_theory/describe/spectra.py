r"""Spectra: the eigenvalues of the input covariance, as a measure.

A spectrum is a list of *atoms*: eigenvalues with multiplicities, :math:`\mu_\Sigma=\sum_ad_a\delta_{s_a}`. Parameters
may be numbers or SymPy expressions; numeric kernels ask for float64 or mpmath values, closed forms for the symbolic
atoms. The given order of the eigenvalues is kept, since target energies pair with them by position.

Source: the capacity condition, Caponnetto, De Vito, Optimal Rates for the Regularized Least-Squares Algorithm, 2007.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from sympy import Expr, Float, Integer, S

from collapse_theory.core.errors import DomainError, shown
from collapse_theory.core.numbers import Scalar, float64_number, real, real_array, scalars, show
from collapse_theory.core.precision import exact_number

__all__ = ["Eigenspace", "Eigenvalues", "Isotropic", "PowerLaw", "Spectrum", "Spiked"]


_TINY = np.finfo(float).tiny


@dataclass(frozen=True)
class Eigenspace:
    """An eigenvalue and how many eigenvectors share it."""

    eigenvalue: Expr
    multiplicity: Expr


class Spectrum:
    """Base of all spectra."""

    d: Expr

    def atoms(self) -> tuple[Eigenspace, ...]:
        """Return the distinct eigenvalues in the given order, with multiplicities, as SymPy expressions."""
        raise NotImplementedError

    @property
    def dimension(self) -> int:
        """The number of eigenvalues as an integer.

        Raises:
            DomainError: If it is a symbol, or infinite.
        """
        if self.d is S.Infinity:
            raise DomainError(
                f"spectrum needs a finite d here, got d=oo in {shown(self)}; take a finite d, which may be as large as 2**53"
            )
        if not self.d.is_Integer:
            raise DomainError(f"spectrum needs a numeric d here, got d={self.d}; give {type(self).__name__} a number")
        return int(self.d)

    @property
    def listed(self) -> int:
        """The number of eigenvalues where each is listed on its own.

        Raises:
            DomainError: If there are more than memory should hold.
        """
        if self.dimension > _LISTED:
            raise DomainError(
                f"{type(self).__name__} needs d <= {_LISTED} (2**25) where eigenvalues are listed one by one, got "
                f"d={self.dimension}: {self.dimension * 8 / 1e9:.3g} GB for each array of them; take a smaller d, or a "
                "spectrum with few distinct eigenvalues and a ct.RandomTarget, which are integrated atom by atom"
            )
        return self.dimension

    @property
    def endless(self) -> bool:
        """Whether there are infinitely many eigenvalues."""
        return self.d is S.Infinity

    @property
    def counts(self) -> np.ndarray:
        """Multiplicity of each atom, int64, summing to ``dimension``."""
        return np.array([int(a.multiplicity) for a in self._numeric_atoms()], dtype=np.int64)

    @property
    def nodes(self) -> np.ndarray:
        """Eigenvalue of each atom, float64, correctly rounded.

        Raises:
            DomainError: If one overflows or underflows.
        """
        return np.array(
            [float64_number(a.eigenvalue, f"{type(self).__name__} eigenvalue") for a in self._numeric_atoms()]
        )

    @property
    def positive(self) -> np.ndarray:
        """Whether each atom is positive, however small."""
        return np.array([not a.eigenvalue.is_zero for a in self._numeric_atoms()])

    @property
    def eigenvalues(self) -> np.ndarray:
        """All eigenvalues in the given order, float64, shape (d,).

        Raises:
            DomainError: If one overflows or underflows, or there are more than memory should hold.

        >>> Spiked(4, spikes=[20, 10]).eigenvalues
        array([20., 10.,  1.,  1.])
        """
        self.listed  # noqa: B018 - refuses before the memory is taken
        return np.repeat(self.nodes, self.counts)

    @property
    def rank(self) -> int | float:
        """The number of positive eigenvalues, maybe infinite: what ``d`` means in thresholds and constants."""
        return int(self.counts[self.positive].sum())

    def exact_nodes(self, mp: Any) -> list[Any]:
        """Return the eigenvalue of each atom at the working precision of the mpmath context ``mp``."""
        return [exact_number(a.eigenvalue, mp) for a in self._numeric_atoms()]

    def _numeric_atoms(self) -> tuple[Eigenspace, ...]:
        atoms = self.atoms()
        for a in atoms:
            if a.eigenvalue.free_symbols or a.multiplicity.free_symbols:
                raise DomainError(
                    f"spectrum needs numbers here, got {shown(self)} with free symbols; use err.doit(spectrum) for closed forms"
                )
        return atoms


_LISTED = 2**25  # 0.3 GB an array, and an evaluation holds about ten of them
_COUNTED = 2**53
_LONG = 2**17


def _ones(d: int) -> np.ndarray:
    """Return d ones; of many only one is in memory."""
    return np.ones(d, dtype=np.int64) if d <= _LONG else np.broadcast_to(np.int64(1), d)


def _is_infinite(d: Any) -> bool:
    return d is S.Infinity or (isinstance(d, float) and d == math.inf)


def _dimension(d: Any) -> Expr:
    return real(d, "d", positive=True, integer=True, most=_COUNTED)


@dataclass(frozen=True)
class Isotropic(Spectrum):
    """``s_j = scale`` for all ``d`` eigenvalues.

    Args:
        d: Number of features, a positive integer or a symbol.
        scale: The common eigenvalue, positive.

    Raises:
        DomainError: If a parameter is out of range.

    >>> Isotropic(3, scale=2).eigenvalues
    array([2., 2., 2.])
    """

    d: Scalar
    scale: Scalar = 1

    def __post_init__(self) -> None:
        """Check the parameters."""
        object.__setattr__(self, "d", _dimension(self.d))
        object.__setattr__(self, "scale", real(self.scale, "scale", positive=True))

    def atoms(self) -> tuple[Eigenspace, ...]:
        """Return the one eigenvalue."""
        return (Eigenspace(self.scale, self.d),)


@dataclass(frozen=True)
class Spiked(Spectrum):
    """Given spikes, the other ``d - len(spikes)`` eigenvalues equal to the bulk.

    Args:
        d: Number of features, at least ``len(spikes)``; an integer or a symbol.
        spikes: The leading eigenvalues, non-negative.
        bulk: The common eigenvalue of the rest, non-negative.

    Raises:
        DomainError: If a parameter is out of range or nothing is positive.

    >>> Spiked(4, spikes=[20, 10]).rank
    4
    """

    d: Scalar
    spikes: Sequence[Scalar]
    bulk: Scalar = 1

    def __post_init__(self) -> None:
        """Check the parameters."""
        object.__setattr__(self, "d", _dimension(self.d))
        spikes = scalars(self.spikes, "spikes", nonnegative=True)
        object.__setattr__(self, "spikes", spikes)
        object.__setattr__(self, "bulk", real(self.bulk, "bulk", nonnegative=True))
        if (self.d - len(spikes)).is_negative:
            raise DomainError(f"Spiked needs d >= number of spikes = {len(spikes)}, got d={self.d}; drop spikes")
        if all(a.eigenvalue.is_zero for a in self.atoms()):
            raise DomainError("Spiked needs a positive eigenvalue, got only zeros; give bulk or a spike > 0")

    def atoms(self) -> tuple[Eigenspace, ...]:
        """Return the spikes, then the bulk."""
        rest = self.d - len(self.spikes)
        bulk = () if rest == 0 else (Eigenspace(self.bulk, rest),)
        return (*(Eigenspace(x, S.One) for x in self.spikes), *bulk)


@dataclass(frozen=True)
class PowerLaw(Spectrum):
    """``s_j = scale * j**-beta``, the capacity condition with exponent ``beta``.

    Args:
        d: Number of features, a positive integer; infinite if ``beta > 1``.
        beta: Capacity exponent, positive.
        scale: Largest eigenvalue, positive.

    Raises:
        DomainError: If a parameter is out of range.

    >>> PowerLaw(4, beta=1).eigenvalues
    array([1.        , 0.5       , 0.33333333, 0.25      ])
    >>> PowerLaw(math.inf, beta=1.5)
    PowerLaw(d=oo, beta=1.50000000000000, scale=1)
    """

    d: Scalar
    beta: Scalar
    scale: Scalar = 1

    def __post_init__(self) -> None:
        """Check the parameters."""
        endless = _is_infinite(self.d)
        object.__setattr__(self, "d", S.Infinity if endless else _dimension(self.d))
        object.__setattr__(self, "beta", real(self.beta, "beta", positive=True))
        object.__setattr__(self, "scale", real(self.scale, "scale", positive=True))
        if endless and (self.beta - 1).is_positive is False:
            raise DomainError(
                f"PowerLaw needs beta > 1 where d=oo, got beta={show(self.beta)}: its eigenvalues have no sum; take a finite d "
                "or a larger beta"
            )

    def atoms(self) -> tuple[Eigenspace, ...]:
        """Return ``d`` simple eigenvalues."""
        return tuple(Eigenspace(self.scale * Integer(j) ** -self.beta, S.One) for j in range(1, self.listed + 1))

    @property
    def counts(self) -> np.ndarray:
        """All ones."""
        return _ones(self.listed)

    @property
    def nodes(self) -> np.ndarray:
        """The eigenvalues, without going through symbols.

        Raises:
            DomainError: If the last ones underflow.
        """
        beta, scale = (float64_number(real_number(x, self), f"PowerLaw {n}") for n, x in self._numbers)
        values = scaled_powers(scale, self.listed, -beta)
        lost = np.flatnonzero(values < _TINY)
        if lost.size:
            raise DomainError(
                f"PowerLaw needs eigenvalues that fit float64, got d={self.d}, beta={show(self.beta)}, scale={show(self.scale)}: "
                f"from j={lost[0] + 1} on they are below 2.2e-308; take d <= {lost[0]} or a larger scale, or use digits="
            )
        return values

    @property
    def positive(self) -> np.ndarray:
        """All true, however small the last eigenvalues are."""
        return np.ones(self.listed, dtype=bool)

    @property
    def rank(self) -> int | float:
        """All ``d``: a power is positive, also where float64 has no number for it."""
        return math.inf if self.endless else self.dimension

    @property
    def long(self) -> bool:
        """Whether there are too many eigenvalues to list: integrals are then taken over the power law as a function of j."""
        return self.endless or self.dimension > _LONG

    def law(self, mp: Any) -> tuple[Any, Any]:
        """Return factor and exponent of the power of j that the eigenvalues are, in the mpmath context ``mp``."""
        beta, scale = (exact_number(real_number(x, self), mp) for _, x in self._numbers)
        return scale, -beta

    def exact_nodes(self, mp: Any) -> list[Any]:
        """Return ``scale * j**-beta`` at the working precision of the mpmath context ``mp``."""
        beta, scale = (exact_number(real_number(x, self), mp) for _, x in self._numbers)
        return [scale * mp.mpf(j) ** -beta for j in range(1, self.listed + 1)]

    @property
    def _numbers(self) -> tuple[tuple[str, Expr], ...]:
        return ("beta", self.beta), ("scale", self.scale)


def scaled_powers(scale: float, d: int, exponent: float) -> np.ndarray:
    """Return ``scale * j**exponent`` for j = 1..d; the power alone may leave the range of float64."""
    j = np.arange(1, d + 1, dtype=np.float64)
    with np.errstate(over="ignore", under="ignore"):
        powers = j**exponent
        if _TINY <= powers[-1] < np.inf:
            return np.asarray(scale * powers)
        half = j ** (exponent / 2)
        return np.asarray((scale * half) * half)


@dataclass(frozen=True, eq=False)
class Eigenvalues(Spectrum):
    """Any non-negative eigenvalues; ``d`` in thresholds and constants is the number of positive ones.

    Args:
        values: Array of shape (d,), finite, >= 0, at least one positive. Kept in the given order.

    Raises:
        DomainError: If a value is negative, NaN or infinite, or all are zero.

    >>> Eigenvalues([2.0, 1.0, 0.0]).rank
    2
    """

    values: Iterable[float]

    def __post_init__(self) -> None:
        """Check and freeze the values."""
        object.__setattr__(self, "values", real_array(self.values, "eigenvalues", nonnegative=True))
        if self.rank == 0:
            raise DomainError("eigenvalues needs a positive value, got only zeros; there is nothing to learn from")

    @property
    def d(self) -> Expr:
        """Number of eigenvalues, zeros included."""
        return Integer(self.nodes.size)

    def atoms(self) -> tuple[Eigenspace, ...]:
        """Return one atom per value."""
        return tuple(Eigenspace(Float(x), S.One) for x in self.nodes)

    @property
    def counts(self) -> np.ndarray:
        """All ones."""
        return _ones(self.nodes.size)

    @cached_property
    def rank(self) -> int:
        """The number of positive values."""
        return int(np.count_nonzero(self.nodes))

    @property
    def nodes(self) -> np.ndarray:
        """The given values."""
        return np.asarray(self.values)

    @property
    def positive(self) -> np.ndarray:
        """Whether each value is positive."""
        return self.nodes > 0

    def exact_nodes(self, mp: Any) -> list[Any]:
        """Return the given binary values in the mpmath context ``mp``."""
        return [mp.mpf(float(x)) for x in self.nodes]

    def __repr__(self) -> str:
        return f"Eigenvalues(<{self.nodes.size} values>)"


def real_number(x: Expr, owner: object) -> Expr:
    """Return ``x`` if it is a number.

    Raises:
        DomainError: If it has free symbols.
    """
    if x.free_symbols:
        raise DomainError(f"{type(owner).__name__} needs numbers here, got {x}; substitute the symbols first")
    return x
