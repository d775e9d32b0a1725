"""Closed forms: opaque objects unfolded, and integrals taken over spectra with a few distinct eigenvalues."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sympy import Add, Basic, Dummy, Expr, Lt, Rel, S, apart, cancel, factor, solve
from sympy.logic.boolalg import Boolean

from collapse_theory.algebra.atomic_ridge import AtomicResidual, AtomicRidge
from collapse_theory.algebra.atomic_spectrum import AtomicSpectrum
from collapse_theory.algebra.canonical import canonical
from collapse_theory.algebra.integrals import QuadraticForm
from collapse_theory.algebra.special import DigammaDifference, GeometricSum
from collapse_theory.core.errors import DomainError
from collapse_theory.derive.atomic_chain import AtomicChain
from collapse_theory.derive.filter_chain import FilterScalar
from collapse_theory.derive.labeller_scalars import ChainBias, ChainScalar, LabellerScalar
from collapse_theory.derive.operator import response, shrinkage
from collapse_theory.derive.pooled_scalars import PipelineScalar
from collapse_theory.derive.rounds import RoundTerm
from collapse_theory.describe.spectra import Isotropic, Spectrum, Spiked
from collapse_theory.symbols import d, eigenvalue, energy, rho2

__all__ = ["closed_form", "unfolded"]

_UNFOLD = (LabellerScalar, PipelineScalar, RoundTerm, DigammaDifference, GeometricSum)


def unfolded(e: Any) -> Any:
    """Return ``e`` with chains of integer length and special differences written out.

    >>> from collapse_theory.symbols import n
    >>> unfolded(DigammaDifference(n, n / 2))
    -polygamma(0, n) + polygamma(0, 3*n/2)
    """
    inside = {x.scalar for x in e.atoms(AtomicChain)}
    return e.xreplace({x: x.doit() for x in e.atoms(*_UNFOLD) if not x.has(AtomicRidge) and x not in inside})


def closed_form(e: Any, spectrum: Spectrum, conditions: Iterable[Boolean] = ()) -> Any:
    r"""Return ``e`` with every spectral integral written as a finite sum over the spectrum's distinct eigenvalues.

    Effective ridges become roots of the polynomial equation that the eigenvalues give, one object each. A chain keeps its number of
    fits: on an isotropic spectrum by powers, on more eigenvalues by the roots of its secular equation. A further covariance is
    taken to be isotropic, its eigenvalue the symbol of its name.

    Args:
        e: A term or a condition.
        spectrum: Isotropic or Spiked, numeric or symbolic.
        conditions: What is known of the symbols: on which side of ``d`` rows are.

    Raises:
        DomainError: If the spectrum is of another kind, n fits on random features are in a chain, or a fit is stopped early.
    """
    if isinstance(e, Basic) and e.has(FilterScalar):
        raise DomainError(
            "doit has no closed form for fits that are stopped early: contour integrals, on any spectrum; evaluate them"
        )
    if not isinstance(spectrum, (Isotropic, Spiked)):
        raise DomainError(
            f"doit needs a spectrum with finitely many parameters (Isotropic or Spiked), got {type(spectrum).__name__}; "
            "evaluate numerically instead"
        )
    conditions = tuple(conditions)
    atoms = _atoms(spectrum, conditions)
    lone = isinstance(spectrum, Isotropic)
    out = unfolded(_isotropic_chains(e, atoms) if lone else _atomic_chains(e, atoms))
    closed = atoms.closed(out.xreplace({d: atoms.rank}))
    return canonical(closed) if lone and isinstance(closed, Expr) and closed != e else closed


def _atoms(spectrum: Isotropic | Spiked, conditions: Iterable[Boolean]) -> AtomicSpectrum:
    """Return the atoms that are not zero, and the rows that are known to be fewer than they."""
    live = [(a, _energy(spectrum, j)) for j, a in enumerate(spectrum.atoms()) if not a.eigenvalue.is_zero]
    rank = Add(*(a.multiplicity for a, _ in live))
    below = (c.lhs.xreplace({d: rank}) for c in conditions if isinstance(c, Rel) and Lt(c.lhs, d) == c)
    return AtomicSpectrum.of(((a.eigenvalue, a.multiplicity, w) for a, w in live), below)


def _isotropic_chains(e: Any, atoms: AtomicSpectrum) -> Any:
    r"""Return ``e`` with chains of a symbolic number of fits in closed form.

    On one eigenvalue the operators are numbers, :math:`A\simeq r` and :math:`\mathcal G=p=r^2+\kappa^2a'[\Sigma]\,r^2/\Sigma^2`, so
    with the counts :math:`n_l` the bias is :math:`w_0^\top\Sigma w_0(1-2\prod_lr_l^{n_l}+\prod_lp_l^{n_l})` and the variance
    :math:`\sum_l\sigma_l^2a'_l[\Sigma]\sum_{k<n_l}p_l^k\prod_{m>l}p_m^{n_m}`. Numbers and their powers are factored as symbols.
    """
    chains = _open_chains(e)
    names: dict[Expr, Dummy] = {}

    def named(x: Expr) -> Expr:
        return x if x.is_number else names.setdefault(x, Dummy(positive=True))

    def closed(x: Expr) -> Expr:
        (s,) = atoms.counts
        y = atoms.closed(x.xreplace({eigenvalue: s, d: atoms.rank}))
        return cancel(y) if not y.has(AtomicRidge) else y

    change: dict[Expr, Expr] = {}
    for chain in chains:
        mean, square, variance = S.One, S.One, S.Zero
        for stage, count in reversed(chain.runs):
            r, answer = shrinkage(stage.kappa), response(eigenvalue, stage)
            kept = closed(r)
            moved = closed(r**2 * (1 + stage.kappa**2 * answer / eigenvalue**2))
            total = named(GeometricSum(_lost(moved, closed(stage.kappa)), count))
            variance += stage.sigma**2 * named(closed(answer)) * total * square
            mean, square = mean * named(kept**count), square * named(moved**count)
        bias = QuadraticForm(eigenvalue) * (1 - 2 * mean + square)
        change[chain] = bias if isinstance(chain, ChainBias) else variance
    if not chains:
        return e
    out = e.xreplace(change)
    return (out if e in change else factor(out)).xreplace({name: x for x, name in names.items()})


def _atomic_chains(e: Any, atoms: AtomicSpectrum) -> Any:
    """Return ``e`` with chains of a symbolic number of fits on the atoms."""
    return e.xreplace({x: AtomicChain.of(x, atoms) for x in _open_chains(e)})


def _open_chains(e: Any) -> list[ChainScalar]:
    """Return the chains of a symbolic number of fits.

    Raises:
        DomainError: If a fit of one sees random features: its operator is more than a rank-one update.
    """
    found = [x for x in e.atoms(ChainScalar) if any(not count.is_Integer for count in x.counts)]
    if any(x.on_features for x in found):
        raise DomainError(
            "doit needs a number of generations where fits see random features, got n; give n a number, or evaluate"
        )
    return found


def _lost(p: Expr, kappa: Expr) -> Expr:
    r"""Return :math:`1-p` as a sum of positive terms.

    With the equation of the effective ridge the residual is :math:`D=T\\lambda/\\kappa+ms\\kappa/(s+\\kappa)^2`, whose m makes
    :math:`1-p=\\frac\\kappa{s+\\kappa}+\\frac{sT\\lambda}{(s+\\kappa)^2D}`.
    """
    if not isinstance(kappa, AtomicRidge):
        return factor(1 - p)
    T, s, m, lam = kappa.args
    x, D, u, directions = (Dummy(positive=True) for _ in range(4))
    residual = (
        AtomicResidual.at(x, T, s, directions, lam) - (T * (x - lam) - AtomicRidge.explained(x, s, directions)) / x
    )
    count = solve(residual - D, directions)[0]
    lost = (
        (1 - p)
        .xreplace({AtomicResidual(*kappa.args): D})
        .xreplace({kappa: x, m: directions})
        .xreplace({directions: count})
    )
    back = {x: kappa, D: AtomicResidual(*kappa.args), u: s + kappa}
    return Add(*(factor(y.subs(x + s, u)) for y in apart(factor(lost), D).args)).xreplace(back)


def _energy(spectrum: Spectrum, j: int) -> Expr:
    """Return the symbol of the target energy of one atom."""
    if isinstance(spectrum, Isotropic):
        return rho2
    spikes = len(spectrum.spikes) if isinstance(spectrum, Spiked) else 0
    return energy(str(j + 1) if j < spikes else "bulk")
