"""Closed forms: opaque objects unfolded, and integrals taken over spectra with a few distinct eigenvalues."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sympy import Add, Dummy, Expr, Lt, Poly, S, cancel, factor, sqrt
from sympy.logic.boolalg import Boolean

from collapse_theory.algebra.effective import EffectiveRidge, ResidualDegrees, effective_ridge_equation
from collapse_theory.algebra.integrals import QuadraticForm, SpectralIntegral, SpectralTrace
from collapse_theory.algebra.special import DigammaDifference, GeometricSum
from collapse_theory.core.errors import DomainError
from collapse_theory.derive.labeller_scalars import ChainBias, ChainScalar, LabellerScalar
from collapse_theory.derive.operator import Generation, response, shrinkage
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


def closed_form(e: Any, spectrum: Spectrum, conditions: Iterable[Boolean] = ()) -> Any:
    r"""Return ``e`` with every spectral integral written as a finite sum over the spectrum's distinct eigenvalues.

    For an isotropic spectrum the effective ridge is the non-negative root of its quadratic, and a chain is closed in its number of
    fits; for spikes the ridge stays implicit.

    Args:
        e: A term or a condition.
        spectrum: Isotropic or Spiked, numeric or symbolic.
        conditions: What is known of the symbols: on which side of ``d`` rows are.

    Raises:
        DomainError: If the spectrum is of another kind, or a chain of a symbolic number of fits is not on an isotropic one.
    """
    if not isinstance(spectrum, (Isotropic, Spiked)):
        raise DomainError(
            f"doit needs a spectrum with finitely many parameters (Isotropic or Spiked), got {type(spectrum).__name__}; "
            "evaluate numerically instead"
        )
    atoms = [(a, _energy(spectrum, j)) for j, a in enumerate(spectrum.atoms()) if not a.eigenvalue.is_zero]
    chains = e.atoms(ChainScalar)
    if isinstance(spectrum, Isotropic) and any(not count.is_Integer for x in chains for *_, count in x.stages):
        return _isotropic_chains(e, chains, spectrum, conditions)
    out = unfolded(e)
    if isinstance(spectrum, Isotropic):
        scalars = {x: x.doit() for x in out.atoms(ResidualDegrees)}
        out = out.xreplace(scalars)
    out = out.xreplace({x: _integral(x, atoms) for x in out.atoms(SpectralIntegral)})
    if isinstance(spectrum, Isotropic):
        out = out.xreplace({x: _isotropic_ridge(x, spectrum, conditions) for x in out.atoms(EffectiveRidge)})
    return out.xreplace({d: Add(*(a.multiplicity for a, _ in atoms))})


def _isotropic_chains(
    e: Expr, chains: Iterable[ChainScalar], spectrum: Isotropic, conditions: Iterable[Boolean]
) -> Expr:
    r"""Return ``e`` with chains of a symbolic number of fits in closed form.

    On one eigenvalue the operators are numbers, :math:`A\simeq r` and :math:`\mathcal G=p=r^2+\kappa^2a'[\Sigma]\,r^2/\Sigma^2`, so
    with the counts :math:`n_l` the bias is :math:`w_0^\top\Sigma w_0(1-2\prod_lr_l^{n_l}+\prod_lp_l^{n_l})` and the variance
    :math:`\sum_l\sigma_l^2a'_l[\Sigma]\sum_{k<n_l}p_l^k\prod_{m>l}p_m^{n_m}`. Numbers and their powers are factored as symbols.
    """
    names: dict[Expr, Dummy] = {}

    def named(x: Expr) -> Expr:
        return x if x.is_number else names.setdefault(x, Dummy(positive=True))

    def closed(x: Expr) -> Expr:
        return cancel(y) if (y := closed_form(x, spectrum, conditions)).is_rational_function() else y

    change: dict[Expr, Expr] = {}
    for chain in chains:
        mean, square, variance = S.One, S.One, S.Zero
        for T, lam, sigma, count in reversed(chain.stages):
            stage = Generation(T, lam, sigma)
            r, answer = shrinkage(stage.kappa), response(eigenvalue, stage)
            kept = closed(r.xreplace({eigenvalue: spectrum.scale}))
            moved = closed(
                (r**2 * (1 + stage.kappa**2 * answer / eigenvalue**2)).xreplace({eigenvalue: spectrum.scale})
            )
            variance += sigma**2 * named(closed(answer)) * named(GeometricSum(1 - moved, count)) * square
            mean, square = mean * named(kept**count), square * named(moved**count)
        bias = QuadraticForm(eigenvalue) * (1 - 2 * mean + square)
        change[chain] = bias if isinstance(chain, ChainBias) else variance
    out = factor(e.xreplace(change))
    return closed_form(out.xreplace({name: x for x, name in names.items()}), spectrum, conditions)


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


def _isotropic_ridge(ridge: EffectiveRidge, spectrum: Isotropic, conditions: Iterable[Boolean]) -> Expr:
    """Return the non-negative root of the defining equation, a quadratic for one distinct eigenvalue.

    Without a ridge its roots are zero and one that is positive for fewer rows than directions.
    """
    x = Dummy("kappa", positive=True)
    equation = effective_ridge_equation(x, *ridge.args)
    right = equation.rhs.xreplace(
        {t: _integral(t, [(spectrum.atoms()[0], S.One)]) for t in equation.rhs.atoms(SpectralTrace)}
    )
    numerator = Poly(((equation.lhs - right).together()).as_numer_denom()[0], x)
    a, b, c = (coefficient / numerator.LC() for coefficient in numerator.all_coeffs())
    p, q = (b / a).expand(), (c / a).expand()
    if q == 0 and Lt(ridge.args[0], d) in conditions:
        return factor(-p)
    return (-p + sqrt(p**2 - 4 * q)) / 2
