r"""The moments of a ridge fit at finite size, from one potential: :math:`\Phi(\Lambda)=\mathbb E\log\det(S+\Lambda)`.

Derivation. Let :math:`S=X^\top X/T` and :math:`\Lambda` be diagonal in the eigenbasis. With :math:`R=(S+\Lambda)^{-1}`

.. math:: \mathbb E R_{jj}=\partial_j\Phi,\qquad\mathbb E R_{jk}^2=-\partial_j\partial_k\Phi,

and off-diagonal means vanish, because the signs of a Gaussian row's coordinates are independent. For real Gaussian rows

.. math:: \Phi=\Phi_0+\tfrac12\log\frac rT+O(T^{-2}),\qquad r=T-\operatorname{tr}P^2,\quad
   P=\frac{a\Sigma}{a\Sigma+\Lambda},\quad T(1-a)=\operatorname{tr}P .

Differentiate in :math:`\theta_j=\log\Lambda_j`. With :math:`Q=1-P` the fixed point gives :math:`\partial_j\log a=P_jQ_j/r`, hence
along a direction :math:`\dot\theta=M`

.. math:: \dot P=PQ\big(\tfrac1r\operatorname{tr}[PQM]-M\big),

one rule that differentiates everything (:func:`_along`). The gradient of :math:`\Phi_0` is :math:`Q`, that of the correction is
found by the rule; call their sum :math:`G`, so that :math:`\lambda\,\mathbb ER=G` at :math:`\Lambda=\lambda`. There
:math:`P=\Sigma(\Sigma+\kappa)^{-1}`, and with :math:`A=RS=1-\lambda R` and M diagonal

.. math:: \mathbb EA=1-G,\qquad\mathbb E[A^\top MA]=(1-G)M-\dot G[M],\qquad
   \tfrac1T\operatorname{tr}\mathbb E[M\,RSR]=-\tfrac1T\partial_\lambda\operatorname{tr}[M\,\mathbb EA].

Along :math:`M=1` the rule is :math:`\dot P=-\frac{T\lambda}{\kappa}\frac{PQ}r`: in the last moment the factor :math:`T\lambda`,
which vanishes with the ridge, divides out, and all three lines hold at :math:`\lambda=0`.

The noise comes out as :math:`\operatorname{tr}[M\,n]`, :math:`n=\frac{P^2}{\Sigma}\big(\frac1r+\frac h{r^2}\big)`, and is written
as :math:`n=\frac{P^2}\Sigma\frac1{r-h}`, the same to first order. For least squares with :math:`T>d` it is exact: :math:`A=I`,
:math:`r=T-d`, :math:`h=1`; and so it is for isotropic minimum-norm fits, :math:`\frac T{d-T-1}`.

Source: the mean of linear statistics, Bai, Silverstein, CLT for linear spectral statistics of large-dimensional sample
covariance matrices, Annals of Probability 2004. Its derivatives and their composition over generations are ours
(``derivations/chain_correction.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from sympy import Add, Dummy, Expr, S, cancel, factor, log

from collapse_theory.algebra.integrals import SpectralTrace
from collapse_theory.symbols import eigenvalue as s
from collapse_theory.symbols import eigenvalue_of

__all__ = ["Behind", "FitMoments", "M", "P", "Q", "moments", "preceded", "r"]

P, Q, M = (eigenvalue_of(name) for name in "PQM")
"""The kept share :math:`\\Sigma(\\Sigma+\\kappa)^{-1}`, the lost one, and a matrix that commutes with :math:`\\Sigma`."""
r = Dummy("r", positive=True)
"""The residual degrees of freedom."""


@dataclass(frozen=True)
class FitMoments:
    r"""The first two moments of a fit: expressions here, and values in any arithmetic for :func:`preceded`.

    With :math:`M=m^2\Sigma+X` for a number m per direction, :math:`\mathbb E[A^\top MA]=(\mathbb EA)^2m^2\Sigma+X'`,

    .. math:: X'=\text{kept}\,X+\text{drift}\,m^2\Sigma+\sum_i\text{out}_i\operatorname{tr}[\text{seen}_iM],

    so that a small bias is not a difference of large terms.

    Attributes:
        mean: :math:`\mathbb EA`.
        lost: One minus it.
        kept: What is left of X in each direction.
        drift: What :math:`m^2\Sigma` in each direction exceeds the square of the mean by.
        spread: Pairs ``(out, seen)``: what moves between directions.
        noise: The function n of which the trace with M is the risk per unit of the label noise.
    """

    mean: Any
    lost: Any
    kept: Any
    drift: Any
    spread: tuple[tuple[Any, Any], ...]
    noise: Any


# ---------------------------------------------------------------------- derivation
@cache
def moments(*, corrected: bool) -> FitMoments:
    r"""Return the moments in :data:`P`, :data:`Q` and :data:`r`, to leading order or with the first correction.

    >>> plain = moments(corrected=False)
    >>> plain.mean, plain.kept, plain.drift, [seen for _, seen in plain.spread]
    (P, P**2, 0, [P*Q])
    """
    gradient: Expr = Q
    if corrected:
        gradient += _density(_along(log(r) / 2, _toward_M()))
    turned = _along(gradient, _toward_M()).expand()
    pairs: dict[Expr, Expr] = {}
    local = S.Zero
    for term in Add.make_args(turned):
        seen = [t for t in term.atoms(SpectralTrace) if t.integrand.has(M)]
        if seen:
            weight = cancel(seen[0].integrand / M)
            pairs[weight] = pairs.get(weight, S.Zero) - term.xreplace({seen[0]: S.One})
        else:
            local += cancel(term / M)
    per_row = _along(gradient, -P * Q / r) / (P * Q)
    first, all_of_it = 1 / r, _settled(per_row)
    return FitMoments(
        mean=_settled(1 - gradient),
        lost=_settled(gradient),
        kept=_settled(1 - gradient - local),
        drift=_settled(gradient * (1 - gradient) - local),
        spread=tuple((_settled(out), weight) for weight, out in pairs.items()),
        noise=P**2 / s * cancel(first**2 / (2 * first - all_of_it)),
    )


def _toward_M() -> Expr:
    """Return how P moves along M."""
    return P * Q * (_trace(P * Q * M) / r - M)


def _along(f: Expr, move: Expr) -> Expr:
    """Return the derivative of a function of P, Q and r with traces in it, P moving by ``move``."""
    out = _slope(f) * move - f.diff(r) * _trace(_slope(P**2) * move)
    for t in sorted(f.atoms(SpectralTrace), key=lambda x: x.sort_key()):
        x = Dummy()
        out += f.xreplace({t: x}).diff(x).xreplace({x: t}) * _trace(_slope(t.integrand) * move)
    return out


def _slope(f: Expr) -> Expr:
    return f.diff(P) - f.diff(Q)


def _trace(f: Expr) -> Expr:
    """Return the trace of a sum term by term, scalars in front."""
    return Add(*(SpectralTrace(term) for term in Add.make_args(f.expand())))


def _density(e: Expr) -> Expr:
    """Return ``g`` of a linear functional ``tr[g M]``."""
    return e.expand().xreplace({t: t.integrand / M for t in e.expand().atoms(SpectralTrace) if t.integrand.has(M)})


def _settled(e: Expr) -> Expr:
    """Return an expression with ``P + Q = 1`` used up: factors, in which nothing cancels where Q is small."""
    return factor(e.xreplace({Q: 1 - P})).xreplace({P - 1: -Q, 1 - P: Q})


# ---------------------------------------------------------------------- a chain, backwards, in any arithmetic
@dataclass(frozen=True)
class Behind:
    r"""What the fits from one on make of its labels: :math:`M=m^2\Sigma+X`, means, and the variance that they add.

    Attributes:
        mean: m, the product of the means.
        lost: One minus it.
        excess: X.
        variance: What their label noises add.
    """

    mean: Any
    lost: Any
    excess: Any
    variance: Any


def preceded(later: Behind, fit: FitMoments, noise: Any, s: Any, trace: Callable[[Any], Any]) -> Behind:
    """Return the same from one fit earlier.

    Args:
        later: What follows.
        fit: FitMoments of the fit, as values or as expressions.
        noise: Variance of its label noise.
        s: The eigenvalue.
        trace: Integral of a function of it.
    """
    square = s * later.mean**2
    whole = square + later.excess
    excess = fit.kept * later.excess + fit.drift * square
    for out, seen in fit.spread:
        excess = excess + out * trace(seen * whole)
    return Behind(
        later.mean * fit.mean,
        later.lost + later.mean * fit.lost,
        excess,
        later.variance + noise * trace(fit.noise * whole),
    )
