r"""A chain of fits with its first finite-size correction, on the nodes, in any arithmetic with arrays.

The moments of a fit are those of :mod:`collapse_theory.derive.log_determinant`. Each fit is on Gaussian inputs of its own, so
the operators of a chain compose exactly, and the error is
:math:`E=w_0^\top[\Sigma(1-m)^2+X]w_0+\sum_l\sigma_l^2\operatorname{tr}[n_lM_{l+1}]`, backwards from :math:`M=\Sigma`. What is left
out is of the order of the correction times :math:`1/(r-1)`; in least squares with :math:`T\ge d+2` nothing is. Many equal fits are
a power of linear maps on the nodes, taken by doubling.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
from sympy import Expr

from collapse_theory.algebra.integrals import SpectralTrace
from collapse_theory.core.errors import DomainError
from collapse_theory.derive.corrected import CorrectedScalar
from collapse_theory.derive.log_determinant import Behind, FitMoments, P, Q, moments, preceded, r
from collapse_theory.numerics.compiled import numeric_function
from collapse_theory.numerics.effective_ridge import residual_degrees, solve_effective_ridge
from collapse_theory.numerics.jets import Jet, counted, value_of, where
from collapse_theory.numerics.measure import Measure
from collapse_theory.symbols import eigenvalue, trace_scalar

__all__ = ["ChainCorrection", "CorrectedChain", "Link", "chain_correction", "corrected_recursion"]


# ---------------------------------------------------------------------- the moments at numbers
def fit_moments(measure: Measure, kappa: Any, residual: Any, *, corrected: bool) -> FitMoments:
    """Return the moments of a fit on the nodes.

    Args:
        measure: Nodes with counts, shape (k,).
        kappa: Effective ridge, a scalar or a column of shape (n, 1).
        residual: Residual degrees of freedom, likewise.
        corrected: Whether with the first correction.
    """
    s = measure.nodes
    kept, lost = s / (s + kappa), kappa / (s + kappa)
    integrands, functions = _compiled(corrected)
    traces = [_trace(measure)(f) for f in integrands(kept, lost)]
    mean, gone, local, drift, noise, *pairs = functions(s, kept, lost, residual, *traces)
    return FitMoments(mean, gone, local, drift, tuple(zip(pairs[::2], pairs[1::2], strict=True)), noise)


@cache
def _compiled(corrected: bool) -> tuple[Any, Any]:
    """Return the functions that give the integrands of the scalars in the moments, and the moments themselves."""
    m = moments(corrected=corrected)
    expressions = [m.mean, m.lost, m.kept, m.drift, m.noise, *(e for pair in m.spread for e in pair)]
    traces = sorted({t for e in expressions for t in e.atoms(SpectralTrace)}, key=lambda t: t.sort_key())
    names = {t: trace_scalar(i) for i, t in enumerate(traces)}
    return (
        numeric_function([P, Q], [t.integrand for t in traces], modules="math"),
        numeric_function(
            [eigenvalue, P, Q, r, *names.values()], [e.xreplace(names) for e in expressions], modules="math"
        ),
    )


def _trace(measure: Measure) -> Any:
    return partial(measure.trace, column=True)


def _risk(measure: Measure, fits: Sequence[tuple[FitMoments, Any, Any]]) -> tuple[Any, Any]:
    """Return bias and variance of the last of the blocks ``(moments, variance of the label noise, count)``."""
    s = measure.nodes
    behind = Behind(1 + 0 * s, 0 * s, 0 * s, 0 * s[:1])
    for fit, noise, count in reversed(fits):
        behind = _repeated(behind, fit, noise, counted(count), measure)
    return measure.form(s * behind.lost**2 + behind.excess, column=True), behind.variance


_ENTRIES = 1 << 21  # of a matrix for each point of a batch, of which a block has two and its double two more: 64 MB

_FEW = 64
"""Fits that are run one by one; more of them by doubling."""


def _repeated(behind: Behind, fit: FitMoments, noise: Any, count: np.ndarray, measure: Measure) -> Behind:
    """Return what is behind a number of equal fits."""
    # A fit that loses nothing adds its noise, and nothing else happens: many add it many times.
    faithful = np.logical_and(value_of(fit.lost) == 0, _slope(fit.lost) == 0).all(axis=-1, keepdims=True)
    noise = where(faithful, count * noise, noise) if faithful.any() and (count != 1).any() else noise
    count = np.where(faithful, np.minimum(count, 1), count)
    few = np.minimum(count, _FEW)
    for i in range(int(few.max())):
        before = preceded(behind, fit, noise, measure.nodes, _trace(measure))
        behind = _chosen(few > i, before, behind)
    left = count - few
    block = _Equal.one(fit, measure) if left.any() else None
    while block is not None:
        left, odd = np.divmod(left, 2)
        behind = _chosen(odd == 1, block.before(behind, noise, measure.nodes), behind)
        block = block.doubled() if left.any() else None
    return behind


def _chosen(condition: np.ndarray, a: Behind, b: Behind) -> Behind:
    if condition.all():
        return a
    return Behind(*(where(condition, x, y) for x, y in zip(_parts(a), _parts(b), strict=True)))


@dataclass(frozen=True)
class _Equal:
    r"""A block of equal fits: :math:`X\mapsto GX+Cm^2\Sigma`, and their noise :math:`yX+zm^2\Sigma`, matrices on the nodes."""

    mean: Any
    lost: Any
    G: Any
    C: Any
    y: Any
    z: Any

    @classmethod
    def one(cls, fit: FitMoments, measure: Measure) -> _Equal:
        one = np.eye(measure.size, dtype=int)
        moved = sum(out[..., :, None] * (seen * measure.counts)[..., None, :] for out, seen in fit.spread)
        each = fit.noise * measure.counts
        return cls(
            fit.mean,
            fit.lost,
            fit.kept[..., :, None] * one + moved,
            fit.drift[..., :, None] * one + moved,
            each[..., None, :],
            each[..., None, :],
        )

    def before(self, later: Behind, noise: Any, s: Any) -> Behind:
        """Return what is behind the block."""
        square, excess = (s * later.mean**2)[..., :, None], later.excess[..., :, None]
        return Behind(
            later.mean * self.mean,
            later.lost + later.mean * self.lost,
            (self.G @ excess + self.C @ square)[..., 0],
            later.variance + noise * (self.y @ excess + self.z @ square)[..., 0],
        )

    def doubled(self) -> _Equal:
        """Return the block of twice as many fits."""
        square = (self.mean**2)[..., None, :]
        return _Equal(
            self.mean**2,
            self.lost + self.mean * self.lost,
            self.G @ self.G,
            self.G @ self.C + self.C * square,
            self.y + self.y @ self.G,
            self.z + self.y @ self.C + self.z * square,
        )


def _parts(x: Behind) -> tuple[Any, ...]:
    return x.mean, x.lost, x.excess, x.variance


def _slope(x: Any) -> Any:
    return x.slope if isinstance(x, Jet) else 0


# ---------------------------------------------------------------------- the corrected error, as a step of a plan
@dataclass(frozen=True)
class CorrectedChain:
    """The recursion over blocks of equal fits, backwards.

    Attributes:
        blocks: How many.
    """

    blocks: int

    def run(self, measure: Measure, arguments: Sequence[Any]) -> tuple[Any, Any]:
        """Return bias and variance of the last fit.

        Args:
            measure: Nodes with counts and energies, shape (k,).
            arguments: By block ``kappa, residual, noise, count``; scalars or columns of shape (n, 1).

        Raises:
            DomainError: Where the correction is as large as what it corrects.
        """
        rows = max((len(a) for a in arguments if np.ndim(a) > 1), default=1)
        step = max(1, _ENTRIES // measure.size**2)
        if rows > step:
            both: list[tuple[Any, ...]] = []
            for i in range(0, rows, step):
                found = self.run(measure, [a[i : i + step] if np.ndim(a) > 1 else a for a in arguments])
                both.append(tuple(np.broadcast_to(x, (min(step, rows - i),)) for x in found))
            biases, variances = zip(*both, strict=True)
            return np.concatenate(list(biases)), np.concatenate(list(variances))
        fits = []
        with np.errstate(under="ignore"):
            for i in range(self.blocks):
                kappa, residual, noise, count = arguments[4 * i : 4 * i + 4]
                used = np.asarray(count, dtype=float) > 0
                fit = None
                if np.all(~used | (value_of(residual) > 1)):
                    fit = fit_moments(measure, kappa, _where_used(used, residual), corrected=True)
                if fit is None or np.any(used & ~_small(fit)):
                    raise DomainError(_LARGE.format(r=float(np.ravel(value_of(residual)).min())))
                fits.append((fit, noise, count))
            bias, variance = _risk(measure, fits)
        if np.any(value_of(bias) < 0):
            raise DomainError(_LARGE.format(r=float(min(float(np.ravel(value_of(x)).min()) for x in arguments[1::4]))))
        return bias[..., 0], variance[..., 0]


_LARGE = (
    "the first finite-size correction needs fits with more than about one residual degree of freedom, T - df2 > 1, got "
    "{r:.3g}; raise a ridge, move T away from the dimension, or use the formula without its correction"
)


def _where_used(used: np.ndarray, residual: Any) -> Any:
    """Return residual degrees of freedom with a harmless number for blocks of no fits."""
    return residual if used.all() else where(used, residual, 2 + 0 * value_of(residual))


def _small(fit: FitMoments) -> Any:
    """Return whether the noise of a fit has a finite mean, by point."""
    return np.all(value_of(fit.noise) > 0, axis=-1, keepdims=True)


def corrected_recursion(node: CorrectedScalar) -> tuple[CorrectedChain, tuple[Expr, ...]]:
    """Return the rule that gives the bias and variance of a corrected chain, and its arguments."""
    blocks = [(fit.kappa, fit.residual, fit.sigma**2, n) for fit, n in node.runs]
    return CorrectedChain(len(blocks)), tuple(x for block in blocks for x in block)


# ---------------------------------------------------------------------- what a comparison with a simulation allows for
@dataclass(frozen=True)
class Link:
    """One fit of a chain, on its own fresh rows labelled by the fit before.

    Attributes:
        T: Rows, positive.
        lam: Ridge on the mean squared error, >= 0.
        sigma: Standard deviation of the label noise, >= 0.
        exact: Whether the formula to be corrected takes this fit, then least squares, exactly already.
    """

    T: float
    lam: float
    sigma: float
    exact: bool = False


@dataclass(frozen=True)
class ChainCorrection:
    """What finite size adds to the proportional error of a chain.

    Attributes:
        value: The correction to be added; 0 where it is not known (``remainder`` is infinite).
        remainder: Size of what the first order leaves out, >= 0; infinite if a fit has at most one residual degree of
            freedom.
        included: What the formula already has beyond the proportional form, from the fits that it takes exactly.
    """

    value: float
    remainder: float
    included: float


def chain_correction(measure: Measure, links: Sequence[Link]) -> ChainCorrection:
    """Return the correction to the proportional error of a chain.

    Args:
        measure: Eigenvalues and energies of the target; one covariance.
        links: The fits in order, the tested one last; at least one.

    Raises:
        DomainError: If there is no link or no target.

    >>> from collapse_theory.describe.spectra import Isotropic
    >>> from collapse_theory.describe.targets import RandomTarget
    >>> got = chain_correction(Measure.of(Isotropic(10), RandomTarget()), [Link(T=31, lam=0, sigma=1)])
    >>> round(got.value, 12) == round(10 / 20 - 10 / 21, 12), got.remainder
    (True, 0.0)
    """
    if not links or measure.energies is None:
        raise DomainError(f"a chain needs a fit and a target, got {len(links)} fits; pass target=")
    fits = [_Fit.of(measure, link) for link in links]
    if any(f.residual <= 1 or not _small(f.corrected).all() for f in fits):
        return ChainCorrection(0.0, math.inf, 0.0)

    def error(*corrected: bool) -> tuple[float, float]:
        chosen = [(f.corrected if c else f.plain, f.noise, 1) for f, c in zip(fits, corrected, strict=True)]
        bias, variance = _risk(measure, chosen)
        return float(bias[0]), float(variance[0])

    exact = [f.least_squares for f in fits]
    plain, best = error(*(False for _ in fits)), error(*(True for _ in fits))
    given, base = error(*(link.exact for link in links)), error(*exact)
    scale = max((1 / (f.residual - 1) for f in fits if not f.least_squares), default=0.0)
    expanded = sum(abs(b - a) for a, b in zip(base, best, strict=True))
    return ChainCorrection(sum(best) - sum(given), scale * expanded, sum(given) - sum(plain))


@dataclass(frozen=True)
class _Fit:
    """A fit at numbers, to leading order and corrected."""

    residual: float
    noise: float
    least_squares: bool
    plain: FitMoments
    corrected: FitMoments

    @classmethod
    def of(cls, measure: Measure, link: Link) -> _Fit:
        problem = (measure, np.array([float(link.T)]), np.array([float(link.lam)]))
        kappa = solve_effective_ridge(*problem)
        residual = float(residual_degrees(*problem, kappa)[0])
        exact = link.lam == 0 and measure.rank + 2 <= link.T
        known = residual if residual > 1 else 2.0  # otherwise the moments are not used
        both = (fit_moments(measure, float(kappa[0]), known, corrected=c) for c in (False, True))
        return cls(residual, link.sigma**2, exact, *both)
