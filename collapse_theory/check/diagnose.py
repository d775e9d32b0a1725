r"""Can the Gaussian theory be trusted on these inputs?

The theory sees inputs only through their covariance. With whitened rows :math:`z_i`, each direction weighted by how much
the fit uses it, :math:`p_a=s_a/(s_a+\kappa)`, six scores measure what a covariance does not say:

* *Spread.* Rows of unequal energy, :math:`x=\sqrt\tau\,\Sigma^{1/2}g`, have a theory of their own
  (:mod:`collapse_theory.numerics.elliptic`): the score is how far it moves the error of a fit on truthful labels. With
  :math:`q_i=\sum_ap_az_{ia}^2` and :math:`\gamma=\sum p_a^2/(\sum p_a)^2`, elliptic rows have
  :math:`1+\operatorname{Var}q/\bar q^2=(1+\operatorname{Var}\tau)(1+2\gamma)`; Gaussian rows of few directions vary too, so
  the scale of a row is a power of its energy, over the mean, with which only :math:`\operatorname{Var}\tau` is left.
* *Population.* The N rows are all there is: fits draw them with replacement and are tested on them. The same theory says
  by how much that moves the error; the size of it is :math:`\mathrm{df}_1/N`, the sign depends on the labels.
* *Clusters.* Near-duplicates, rows of few kinds and dependent features are parallel too often. With
  :math:`k_{ij}=\sum_ap_az_{ia}z_{ja}` over pairs, the score is
  :math:`\big[\overline{k^4}/\overline{k^2}^2-3(1+2\sum p^4/(\sum p^2)^2)(1+\operatorname{Var}\tau)^2\big]
  \frac{\mathrm{df}_1}{T(T-\mathrm{df}_2)}`: by how much the rows that a row meets in a sample of T vary beyond
  elliptic ones, times what such a variance does to least squares.
* *Fourth moment.* The energy sampled in a direction has the relative variance :math:`(\mu_4-1)/T` (Gaussian:
  :math:`\mu_4=3`).
* *Leverage.* The largest share of a direction's energy in one row: a fit that misses it sees an empty direction.
* *Size.* :math:`1/(T-\mathrm{df}_2-1)`: the order of what the asymptotic theory leaves out. It counts for least squares too,
  whose exact theory is exact on Gaussian rows only.

The score :math:`(\operatorname{Var}q/\bar q^2-2\gamma)\,\mathrm{df}_1/(T-\mathrm{df}_2)` for the spread would need no equation
and orders data sets alike, but it is biased: several times too high where :math:`\tau` has heavy tails.

Thresholds are chosen from a table of data sets with measured gaps, ``docs/diagnose.md``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from scipy.optimize import brentq

from collapse_theory.check.diagnosis import Diagnosis
from collapse_theory.core.numbers import real
from collapse_theory.describe.data import principal_components
from collapse_theory.numerics.elliptic import clean_fit

__all__ = ["Diagnosis", "diagnose", "diagnose_fits"]

_PAIRED = 1000  # rows whose pairs are compared; of more, a sample
_SCALES = 4000  # scales of rows that are told apart; more are averaged in groups of neighbours
_NOISE = 0.1
_ROUND_OFF = 1e-12


def diagnose(X: Any, *, T: Any, lam: Any = 0, least_noise: Any = _NOISE) -> Diagnosis:
    r"""Return whether the Gaussian theory can be trusted for a ridge fit on rows like these.

    Args:
        X: Inputs, shape (N, p); columns are centred.
        T: Rows of the fit, positive.
        lam: Ridge of the fit, >= 0; without one every direction is used fully.
        least_noise: Smallest label noise that the verdict covers, over the standard deviation of the true labels, >= 0. At a
            tiny ridge the error without noise depends on rare samples, but is also tiny: a little noise hides it.

    Raises:
        DomainError: If an argument is out of range or ``X`` is not a finite matrix.

    >>> rng = np.random.default_rng(0)
    >>> diagnose(rng.standard_normal((2000, 5)), T=100).verdict
    'trust'
    >>> X = rng.standard_normal((2000, 5)); X[:, 4] = 0; X[0, 4] = 1.0
    >>> diagnose(X, T=100).verdict, diagnose(X, T=100, lam=0.1).verdict
    ('distrust', 'trust')
    """
    return diagnose_fits(X, [(T, lam)], least_noise=least_noise)[0]


def diagnose_fits(X: Any, fits: Iterable[tuple[Any, Any]], *, least_noise: Any = _NOISE) -> list[Diagnosis]:
    """Return the diagnosis of several fits on the same inputs, one per (rows, ridge)."""
    stages = [
        (float(real(T, "T", positive=True, number=True)), float(real(lam, "lam", nonnegative=True, number=True)))
        for T, lam in fits
    ]
    noise = float(real(least_noise, "least_noise", nonnegative=True, number=True))
    U, S = principal_components(X)
    N, columns = len(U), np.shape(X)[1]
    s, shares = S**2 / N, U**2  # each row's share of a direction's energy
    fourth_moments, leverages = N * (shares**2).sum(axis=0), shares.max(axis=0)
    few = U if N <= _PAIRED else U[np.random.default_rng(0).choice(N, _PAIRED, replace=False)]
    out = []
    for T, lam in stages:
        gaussian = clean_fit(s, np.ones(1), T=T, lam=lam)
        use = s / (s + gaussian.kappa)
        scales, spread = _scales(shares @ use, use)
        parallel, clusters = _parallel(few, use, spread, T)
        out.append(
            Diagnosis(
                T=T, lam=lam, least_noise=noise, N=N, columns=columns, eigenvalues=s, fourth_moments=fourth_moments,
                leverages=leverages, spread=spread, parallel=parallel, clusters=clusters, gaussian=gaussian,
                elliptic=clean_fit(s, scales, T=T, lam=lam),
                resampled=clean_fit(s, scales, T=T, lam=lam, population=N),
            )
        )  # fmt: skip
    return out


def _scales(energy: np.ndarray, use: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the scales of the rows and their variance, less what the energy of Gaussian rows varies by itself."""
    if energy.size > _SCALES:
        energy = np.array([group.mean() for group in np.array_split(np.sort(energy), _SCALES)])
    relative = energy / energy.mean()
    share = use / use.sum()
    own = 2 * float(np.sum(share**2))
    spread = (1 + float(relative.var())) / (1 + own) - 1
    if spread <= _ROUND_OFF:
        return np.ones(1), 0.0

    def scales(power: float) -> np.ndarray:
        raised = relative**power
        return np.asarray(raised / raised.mean())

    # What Gaussian rows vary by multiplies the scale, so a power takes it away: small scales stay small.
    power = brentq(lambda a: float(scales(a).var()) - spread, 0.0, 1.0)
    return scales(power), spread


def _parallel(U: np.ndarray, use: np.ndarray, spread: float, T: float) -> tuple[float, float]:
    """Return the fourth moment of products of two rows over its elliptic value, and the score of clusters."""
    p = use / use.max()
    k = ((U * p) @ U.T)[np.triu_indices(len(U), 1)] ** 2
    df1, df2 = float(use.sum()), float(np.sum(use**2))
    elliptic = 3 * (1 + 2 * float(np.sum(p**4)) / float(np.sum(p**2)) ** 2) * (1 + spread) ** 2
    seen = float(np.mean(k**2) / np.mean(k) ** 2)
    score = max(seen - elliptic, 0.0) * df1 / T
    if score == 0:
        return seen / elliptic, 0.0
    return seen / elliptic, score / (T - df2) if df2 < T else math.inf
