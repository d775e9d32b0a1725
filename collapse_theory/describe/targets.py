r"""Targets: the energies :math:`w_{0,j}^2` of the true coefficients along the eigenvectors, paired with a spectrum.

Source: the source condition, Caponnetto, De Vito, Optimal Rates for the Regularized Least-Squares Algorithm, 2007; Cui,
Loureiro, Krzakala, Zdeborova 2021.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sympy import Expr, Float, Rational

from collapse_theory.core.errors import DomainError
from collapse_theory.core.numbers import Scalar, float64_number, real, real_array
from collapse_theory.core.precision import exact_number
from collapse_theory.describe.spectra import PowerLaw, Spectrum, real_number, scaled_powers

__all__ = ["Coefficients", "Energies", "RandomTarget", "SourceTarget", "Target", "held"]


class Target:
    """Base of all targets."""

    def energies(self, spectrum: Spectrum) -> np.ndarray:
        """Return ``w0_j**2`` for each eigenvalue of ``spectrum`` in its order, float64, shape (d,).

        Raises:
            DomainError: If the target does not go with the spectrum.
        """
        raise NotImplementedError

    def exact_energies(self, spectrum: Spectrum, mp: Any) -> list[Any]:
        """Return the energies at the working precision of the mpmath context ``mp``."""
        return [mp.mpf(float(e)) for e in self.energies(spectrum)]

    def law(self, spectrum: PowerLaw, mp: Any) -> tuple[Any, Any] | None:  # noqa: ARG002 - what a listed target answers
        """Return factor and exponent of the power of j that the energies are, in the context ``mp``; None if they are no power.

        Raises:
            DomainError: If the target does not go with the spectrum.
        """
        return None

    def check(self, spectrum: Spectrum) -> None:
        """Check that the target goes with the spectrum.

        Raises:
            DomainError: If it does not.
        """

    def atom_energies(self, spectrum: Spectrum) -> np.ndarray:
        """Return the energy in the eigenspace of each atom, float64."""
        energies, counts = self.energies(spectrum), spectrum.counts
        return energies if counts.size == energies.size else np.add.reduceat(energies, _starts(spectrum))

    def exact_atom_energies(self, spectrum: Spectrum, mp: Any) -> list[Any]:
        """Return the energy in the eigenspace of each atom in the mpmath context ``mp``."""
        energies = np.array(self.exact_energies(spectrum, mp), dtype=object)
        return list(np.add.reduceat(energies, _starts(spectrum)))


def _starts(spectrum: Spectrum) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(spectrum.counts)[:-1]])


def held(owner: Target, energies: np.ndarray, positive: Any = True) -> np.ndarray:
    """Return energies that float64 holds; positive ones that underflow beside the largest become the smallest normal number.

    What is raised so is lost beside the others, and where it is not, evaluation turns to their exact values.

    Raises:
        DomainError: If one overflows, or all are about to underflow.
    """
    top = energies.max()
    if not np.isfinite(top) or (np.any(positive) and top < _LOST):
        raise DomainError(
            f"{type(owner).__name__} needs energies between {_LOST:.0e} and 1.8e308 in float64, got {top:.3g} as the largest; "
            "rescale the target, or use digits="
        )
    return np.where(positive, np.maximum(energies, _TINY), energies)


_TINY = np.finfo(float).tiny
_LOST = 2.0**100 * _TINY


@dataclass(frozen=True, eq=False)
class Energies(Target):
    """Given energies ``w0_j**2``, paired with the eigenvalues by position.

    Args:
        values: Array of shape (d,), finite, >= 0.

    Raises:
        DomainError: If a value is negative, NaN or infinite.

    >>> from collapse_theory.describe.spectra import Isotropic
    >>> Energies([1.0, 4.0]).energies(Isotropic(2))
    array([1., 4.])
    """

    values: Iterable[float]

    def __post_init__(self) -> None:
        """Check and freeze the values."""
        object.__setattr__(self, "values", real_array(self.values, "energies", nonnegative=True))

    def energies(self, spectrum: Spectrum) -> np.ndarray:
        """Return the given values."""
        self.check(spectrum)
        return np.asarray(self.values)

    def check(self, spectrum: Spectrum) -> None:
        """Check that there is one energy per eigenvalue."""
        values = np.asarray(self.values)
        if values.size != spectrum.dimension:
            raise DomainError(
                f"target needs one energy per eigenvalue (d={spectrum.dimension}), got {values.size}; "
                "give target and spectrum the same length"
            )

    def __repr__(self) -> str:
        return f"{type(self).__name__}(<{np.asarray(self.values).size} values>)"


@dataclass(frozen=True, eq=False, repr=False)
class Coefficients(Energies):
    """Given coefficients ``w0_j`` along the eigenvectors; only their squares matter.

    Args:
        values: Array of shape (d,), finite.

    Raises:
        DomainError: If a value is NaN or infinite.

    >>> from collapse_theory.describe.spectra import Isotropic
    >>> Coefficients([1.0, -2.0]).energies(Isotropic(2))
    array([1., 4.])
    """

    def __post_init__(self) -> None:
        """Check and freeze the values."""
        object.__setattr__(self, "values", real_array(self.values, "coefficients"))

    def energies(self, spectrum: Spectrum) -> np.ndarray:
        """Return the squares of the given values."""
        values = super().energies(spectrum)
        with np.errstate(over="ignore", under="ignore"):
            return held(self, values**2, values != 0)

    def exact_energies(self, spectrum: Spectrum, mp: Any) -> list[Any]:
        """Return the squares of the given binary values, without rounding them first."""
        return [mp.mpf(float(w)) ** 2 for w in super().energies(spectrum)]


@dataclass(frozen=True)
class RandomTarget(Target):
    """``E[w0 w0^T] = norm2/d * I``: no preferred direction.

    Args:
        norm2: Expected squared norm of ``w0``, >= 0.

    Raises:
        DomainError: If it is negative.

    >>> from collapse_theory.describe.spectra import Isotropic
    >>> RandomTarget(norm2=4).energies(Isotropic(2))
    array([2., 2.])
    """

    norm2: Scalar = 1

    def __post_init__(self) -> None:
        """Check the range."""
        object.__setattr__(self, "norm2", real(self.norm2, "norm2", nonnegative=True))

    def energies(self, spectrum: Spectrum) -> np.ndarray:
        """Return ``norm2/d`` for every direction."""
        return np.full(spectrum.listed, self._each(spectrum))

    def exact_energies(self, spectrum: Spectrum, mp: Any) -> list[Any]:
        """Return ``norm2/d`` for every direction."""
        d = spectrum.listed
        return [exact_number(real_number(self.norm2, self), mp) / d] * d

    def law(self, spectrum: PowerLaw, mp: Any) -> tuple[Any, Any] | None:
        """Return ``norm2/d`` and 0."""
        return exact_number(real_number(self.norm2, self), mp) / spectrum.dimension, mp.mpf(0)

    def check(self, spectrum: Spectrum) -> None:
        """Check that there is a finite number of directions to share the energy."""
        if spectrum.endless:
            raise DomainError("RandomTarget needs a finite d, got d=oo; use ct.SourceTarget, or a finite d")

    def atom_energies(self, spectrum: Spectrum) -> np.ndarray:
        """Return ``norm2/d`` times the multiplicities."""
        return self._each(spectrum) * spectrum.counts

    def exact_atom_energies(self, spectrum: Spectrum, mp: Any) -> list[Any]:
        """Return ``norm2/d`` times the multiplicities."""
        each = exact_number(real_number(self.norm2, self), mp) / spectrum.dimension
        return [each * int(count) for count in spectrum.counts]

    def _each(self, spectrum: Spectrum) -> float:
        number = float64_number(real_number(self.norm2, self), "RandomTarget norm2")
        return float(held(self, np.array([number / spectrum.dimension]), number > 0)[0])


@dataclass(frozen=True)
class SourceTarget(Target):
    """``s_j w0_j**2 = scale * j**-(1 + 2 r beta)``, the source condition; needs a power-law spectrum.

    Args:
        r: Source exponent, positive; larger is smoother.
        scale: The prefactor, >= 0.

    Raises:
        DomainError: If a parameter is out of range, or the spectrum is not a power law.

    >>> SourceTarget(r=0.5).energies(PowerLaw(2, beta=1))
    array([1. , 0.5])
    """

    r: Scalar
    scale: Scalar = 1

    def __post_init__(self) -> None:
        """Check the ranges."""
        object.__setattr__(self, "r", real(self.r, "r", positive=True))
        object.__setattr__(self, "scale", real(self.scale, "scale", nonnegative=True))

    def energies(self, spectrum: Spectrum) -> np.ndarray:
        """Return ``scale * j**-(1 + 2 r beta) / s_j``."""
        power_law = self._power_law(spectrum)
        r, scale, beta, top = (real_number(x, self) for x in (self.r, self.scale, power_law.beta, power_law.scale))
        # The exponent is a difference: taken exactly, so that only its one rounding is raised to a power.
        exponent = float64_number(_exact(beta) * (1 - 2 * _exact(r)) - 1, "SourceTarget exponent")
        prefactor = float64_number(_exact(scale) / _exact(top), "SourceTarget scale / PowerLaw scale")
        return held(self, scaled_powers(prefactor, power_law.listed, exponent), prefactor > 0)

    def exact_energies(self, spectrum: Spectrum, mp: Any) -> list[Any]:
        """Return ``scale * j**-(1 + 2 r beta) / s_j`` at the working precision of ``mp``."""
        power_law = self._power_law(spectrum)
        r, scale, beta, top = (
            exact_number(real_number(x, self), mp) for x in (self.r, self.scale, power_law.beta, power_law.scale)
        )
        return [scale / top * mp.mpf(j) ** (beta - 1 - 2 * r * beta) for j in range(1, power_law.listed + 1)]

    def law(self, spectrum: PowerLaw, mp: Any) -> tuple[Any, Any] | None:
        """Return factor and exponent of ``scale * j**-(1 + 2 r beta) / s_j``."""
        self.check(spectrum)
        r, scale, beta, top = (
            exact_number(real_number(x, self), mp) for x in (self.r, self.scale, spectrum.beta, spectrum.scale)
        )
        return scale / top, beta - 1 - 2 * r * beta

    def check(self, spectrum: Spectrum) -> None:
        """Check that the spectrum is a power law."""
        self._power_law(spectrum)

    def _power_law(self, spectrum: Spectrum) -> PowerLaw:
        if not isinstance(spectrum, PowerLaw):
            raise DomainError(
                f"SourceTarget needs a PowerLaw spectrum, got {type(spectrum).__name__}; use ct.PowerLaw or ct.Energies"
            )
        return spectrum


def _exact(x: Expr) -> Expr:
    return Rational(x) if isinstance(x, Float) else x
