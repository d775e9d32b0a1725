"""Closed forms: opaque objects unfolded, and integrals taken over spectra with a few distinct eigenvalues."""

from __future__ import annotations

from typing import Any

from sympy import Add, Dummy, Expr, Poly, S, sqrt

from collapse_theory.algebra.effective import EffectiveRidge, ResidualDegrees, effective_ridge_equation
from collapse_theory.algebra.integrals import QuadraticForm, SpectralIntegral, SpectralTrace
from collapse_theory.algebra.special import DigammaDifference, GeometricSum
from collapse_theory.core.errors import DomainError
from collapse_theory.derive.labeller_scalars import LabellerScalar
from collapse_theory.derive.pooled_scalars import PipelineScalar
from collapse_theory.derive.rounds import RoundTerm
from collapse_theory.describe.spectra import Eigenspace, Isotropic, Spectrum, Spiked
from collapse_theory.symbols import d, eigenvalue, energy, rho2

__all__ = ["closed_form", "unfolded"]

_UNFOLD = (LabellerScalar, PipelineScalar, RoundTerm, DigammaDifference, GeometricSum)


def unfolded(e: Any) -> Any:
    """Return ``e`` with chains of integer length and special differences written out.

    >>> from collapse_theory.symbols import n
    >>> unfolded(DigammaDifference(n, n / 2))
    -polygamma(0, n) + polygamma(0, 3*n/2)
    """
    return e.xreplace({x: x.doit() for x in e.atoms(*_UNFOLD)})


def closed_form(e: Any, spectrum: Spectrum) -> Any:
    r"""Return ``e`` with every spectral integral written as a finite sum over the spectrum's distinct eigenvalues.

    For an isotropic spectrum the effective ridge is the non-negative root of its quadratic; for spikes it stays implicit.

    Args:
        e: A term or a condition.
        spectrum: Isotropic or Spiked, numeric or symbolic.

    Raises:
        DomainError: If the spectrum is of another kind.
    """
    if not isinstance(spectrum, (Isotropic, Spiked)):
        raise DomainError(
            f"doit needs a spectrum with finitely many parameters (Isotropic or Spiked), got {type(spectrum).__name__}; "
            "evaluate numerically instead"
        )
    atoms = [(a, _energy(spectrum, j)) for j, a in enumerate(spectrum.atoms()) if not a.eigenvalue.is_zero]
    out = unfolded(e)
    if isinstance(spectrum, Isotropic):
        scalars = {x: x.doit() for x in out.atoms(ResidualDegrees)}
        out = out.xreplace(scalars)
    out = out.xreplace({x: _integral(x, atoms) for x in out.atoms(SpectralIntegral)})
    if isinstance(spectrum, Isotropic):
        out = out.xreplace({x: _isotropic_ridge(x, spectrum) for x in out.atoms(EffectiveRidge)})
    return out.xreplace({d: Add(*(a.multiplicity for a, _ in atoms))})


def _energy(spectrum: Spectrum, j: int) -> Expr:
    """Return the symbol of the target energy of one atom."""
    if isinstance(spectrum, Isotropic):
        return rho2
    spikes = len(spectrum.spikes) if isinstance(spectrum, Spiked) else 0
    return energy(str(j + 1) if j < spikes else "bulk")


def _integral(x: SpectralIntegral, atoms: list[tuple[Eigenspace, Expr]]) -> Expr:
    weights = [a.multiplicity if isinstance(x, SpectralTrace) else w for a, w in atoms]
    assert isinstance(x, (SpectralTrace, QuadraticForm))
    return Add(
        *(w * x.integrand.xreplace({eigenvalue: a.eigenvalue}) for (a, _), w in zip(atoms, weights, strict=True))
    )


def _isotropic_ridge(ridge: EffectiveRidge, spectrum: Isotropic) -> Expr:
    """Return the non-negative root of the defining equation, a quadratic for one distinct eigenvalue."""
    x = Dummy("kappa", positive=True)
    equation = effective_ridge_equation(x, *ridge.args)
    right = equation.rhs.xreplace(
        {t: _integral(t, [(spectrum.atoms()[0], S.One)]) for t in equation.rhs.atoms(SpectralTrace)}
    )
    numerator = Poly(((equation.lhs - right).together()).as_numer_denom()[0], x)
    a, b, c = (coefficient / numerator.LC() for coefficient in numerator.all_coeffs())
    p, q = (b / a).expand(), (c / a).expand()
    return (-p + sqrt(p**2 - 4 * q)) / 2
