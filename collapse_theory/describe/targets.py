r"""Targets: the energies :math:`w_{0,j}^2` of the true coefficients along the eigenvectors, paired with a spectrum."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from collapse_theory.describe.numbers import Scalar, real, real_array
from collapse_theory.describe.spectra import PowerLaw, Spectrum, real_number
from collapse_theory.errors import DomainError

__all__ = ["Coefficients", "Energies", "RandomTarget", "SourceTarget", "Target"]


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
        values = np.asarray(self.values)
        if values.size != spectrum.dimension:
            raise DomainError(
                f"target needs one energy per eigenvalue (d={spectrum.dimension}), got {values.size}; "
                "give target and spectrum the same length"
            )
        return values

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
        return super().energies(spectrum) ** 2

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
        d = spectrum.dimension
        return np.full(d, float(real_number(self.norm2, self)) / d)

    def exact_energies(self, spectrum: Spectrum, mp: Any) -> list[Any]:
        """Return ``norm2/d`` for every direction."""
        d = spectrum.dimension
        return [mp.mpf(real_number(self.norm2, self)._to_mpmath(mp.prec)) / d] * d


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
        r, scale, beta, top = (
            float(real_number(x, self)) for x in (self.r, self.scale, power_law.beta, power_law.scale)
        )
        return scale / top * np.arange(1, power_law.dimension + 1, dtype=np.float64) ** (beta - 1 - 2 * r * beta)

    def exact_energies(self, spectrum: Spectrum, mp: Any) -> list[Any]:
        """Return ``scale * j**-(1 + 2 r beta) / s_j`` at the working precision of ``mp``."""
        power_law = self._power_law(spectrum)
        r, scale, beta, top = (
            mp.mpf(real_number(x, self)._to_mpmath(mp.prec))
            for x in (self.r, self.scale, power_law.beta, power_law.scale)
        )
        return [scale / top * mp.mpf(j) ** (beta - 1 - 2 * r * beta) for j in range(1, power_law.dimension + 1)]

    def _power_law(self, spectrum: Spectrum) -> PowerLaw:
        if not isinstance(spectrum, PowerLaw):
            raise DomainError(
                f"SourceTarget needs a PowerLaw spectrum, got {type(spectrum).__name__}; use ct.PowerLaw or ct.Energies"
            )
        return spectrum
