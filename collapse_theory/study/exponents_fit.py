r"""Capacity and source exponents from eigenvalues and target energies, with their uncertainty, to feed the scaling laws.

On a window of ranks :math:`j_1\le j\le j_2` the laws are

.. math:: s_j\approx c\,j^{-\beta},\qquad s_jw_{0,j}^2=\mu_j\xi_j,\quad\mu_j\approx c'j^{-\alpha},\ \alpha=1+2r\beta .

**Eigenvalues** lie on a smooth curve that is not quite a power; nothing about them is independent noise. Ranks are
weighted by :math:`1/j`, so that every octave counts alike, and :math:`\beta` is the least-squares slope of :math:`\log s_j`
against :math:`\log j`. Its uncertainty is how far the slope changes along the window: slopes of eight cells of equal
length in :math:`\log j` are taken for a stationary sequence, and their mean has Student's interval.

**Energies** scatter: where the target is in general position, :math:`\xi_j` is the square of a standard normal number. A
logarithm would be ruled by the few smallest of them. The likelihood of that law, which is also a consistent quasi-likelihood
for any other :math:`\xi` of mean one,

.. math:: -\ell(c',\alpha)=\tfrac12\sum_j\Big(\log\mu_j+\frac{s_jw_{0,j}^2}{\mu_j}\Big),

is convex in :math:`(\log c',\alpha)`; its interval is from a bootstrap over the directions.

The head, ranks below :math:`j_1`, belongs to what is special to a data set; the tail, beyond :math:`j_2`, to its finite number of
rows and to the noise of its labels.

Source: Caponnetto, De Vito, Optimal Rates for the Regularized Least-Squares Algorithm, 2007 (the exponents); Cui, Loureiro,
Krzakala, Zdeborova 2021 (their estimation by a straight line). The weights, the likelihood and the intervals are ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.stats import t as student

from collapse_theory.core.arguments import instance
from collapse_theory.core.attributes import Displayed
from collapse_theory.core.errors import DomainError, shown
from collapse_theory.core.numbers import integer, real
from collapse_theory.describe.spectra import PowerLaw, Spectrum
from collapse_theory.describe.targets import SourceTarget, Target

__all__ = ["Exponents", "fit_exponents"]

_HEAD = 4
_TAIL = 4  # the share of the ranks that is left out is 1 - 1/_TAIL
_SPAN = 8  # least j2/j1
_CELLS = 8
_LEVEL = 1e-9  # an exponent that is round-off
_DRAWS = 400
_STEPS = 100
_SETTLED, _FLAT = 1e-14, 1e-12
_MOST_DRAWS = 10**4


@dataclass(frozen=True)
class Exponents(Displayed):
    r"""Exponents of a spectrum and a target.

    Attributes:
        beta: Capacity exponent.
        r: Source exponent.
        beta_interval: Confidence interval of ``beta``: what its change along the window allows.
        r_interval: Confidence interval of ``r``, bootstrap; the uncertainty of ``beta`` included. A lower end of at most 0 says
            that no r > 0 is established.
        level: Of both intervals.
        window: First and last rank.
        local: Slopes of :math:`-\log s_j` along the window, in cells of equal length in :math:`\log j`.
        halves: Exponents of :math:`s_jw_{0,j}^2` on the two halves of the window in :math:`\log j`. ``r_interval`` is that of one
            power: where the halves differ by far more, the energies follow none.
        spectrum: The power law with ``beta`` through the window, of as many directions as the given spectrum has.
        target: The source law with ``r`` through the window.
    """

    beta: float
    r: float
    beta_interval: tuple[float, float]
    r_interval: tuple[float, float]
    level: float
    window: tuple[int, int]
    local: np.ndarray = field(repr=False)
    halves: tuple[float, float] = field(repr=False)
    spectrum: PowerLaw
    target: SourceTarget

    def __repr__(self) -> str:
        beta, r = (f"[{low:.3g}, {high:.3g}]" for low, high in (self.beta_interval, self.r_interval))
        return (
            f"Exponents(beta = {self.beta:.3g} {beta}, r = {self.r:.3g} {r} at {100 * self.level:g} %, "
            f"ranks {self.window[0]} to {self.window[1]})"
        )


def fit_exponents(
    spectrum: Spectrum, target: Target, *, window: Any = None, level: Any = 0.9, draws: Any = _DRAWS, seed: Any = 0
) -> Exponents:
    r"""Estimate the capacity exponent ``beta`` and the source exponent ``r``.

    Args:
        spectrum: Eigenvalues, as from :func:`~collapse_theory.describe.data.from_data` or
            :func:`~collapse_theory.describe.data.from_kernel`.
        target: Energies of the target along the eigenvectors.
        window: First and last rank of the decreasing positive eigenvalues, both included, three octaves apart or more. By
            default 4 and a quarter of their number.
        level: Confidence of the intervals, between 0 and 1.
        draws: Number of bootstrap samples.
        seed: Of the bootstrap.

    Raises:
        DomainError: If the window is shorter than three octaves or out of range; if the energies in it are zero, or do not fall
            faster than 1/j, so that there is no r > 0; if the eigenvalues in it are equal.

    >>> from collapse_theory.describe.spectra import PowerLaw
    >>> from collapse_theory.describe.targets import SourceTarget
    >>> found = fit_exponents(PowerLaw(1000, beta=1.5), SourceTarget(r=0.4))
    >>> round(found.beta, 6), round(found.r, 6), found.window
    (1.5, 0.4, (4, 250))
    """
    instance(spectrum, Spectrum, "spectrum", "take one from ct.from_data(X, y)", DomainError)
    instance(target, Target, "target", "take one from ct.from_data(X, y)", DomainError)
    share = float(real(level, "level", positive=True, number=True))
    if not share < 1:
        raise DomainError(f"level needs to be between 0 and 1, got {shown(level)}; give for example 0.9")
    count = integer(draws, "draws", least=1, most=_MOST_DRAWS)
    rng = np.random.default_rng(integer(seed, "seed", least=0))
    s, energy = _decreasing(spectrum, target)
    first, last = _window(window, s.size)
    j = np.arange(first, last + 1)
    x, y, e = np.log(j), np.log(s[first - 1 : last]), energy[first - 1 : last]
    if not (e > 0).sum() > 2:
        raise DomainError(
            f"target needs energies > 0 between ranks {first} and {last}, got zeros; choose another window"
        )
    beta, log_c = _line(x, y)
    if beta <= _LEVEL:
        raise DomainError(
            f"spectrum needs eigenvalues that fall between ranks {first} and {last}, got equal ones; choose another window"
        )
    local = _local(x, y)
    spread = float(local.std(ddof=1)) / math.sqrt(local.size)
    reach = float(student.ppf((1 + share) / 2, local.size - 1)) * spread
    alpha, log_e = _gamma_lines(x[None], e[None])[0].tolist()
    r = (alpha - 1) / (2 * beta)
    if r <= 0:
        raise DomainError(
            f"the target needs energies s_j w_j^2 that fall faster than 1/j, got j**-{alpha:.3g} between ranks {first} and {last}: "
            "there is no r > 0; choose a window before the noise of the labels"
        )
    betas = beta + spread * rng.standard_t(local.size - 1, count)
    chosen = rng.integers(0, j.size, (count, j.size))
    alphas = _gamma_lines(x[chosen], e[chosen])[:, 0]
    rs = np.where(betas > _LEVEL, (alphas - 1) / (2 * np.maximum(betas, _LEVEL)), np.inf)
    ends = np.quantile(rs, [(1 - share) / 2, (1 + share) / 2], method="inverted_cdf")
    return Exponents(
        beta,
        r,
        (max(beta - reach, 0.0), beta + reach),
        (float(ends[0]), float(ends[1])),
        share,
        (first, last),
        local,
        _halves(x, e),
        PowerLaw(s.size, beta=beta, scale=math.exp(log_c)),
        SourceTarget(r=r, scale=math.exp(log_e)),
    )


def _decreasing(spectrum: Spectrum, target: Target) -> tuple[np.ndarray, np.ndarray]:
    """Return the positive eigenvalues in decreasing order and :math:`s_jw_{0,j}^2` beside them."""
    s, energies = spectrum.eigenvalues, target.energies(spectrum)
    order = np.argsort(-s, kind="stable")[: int((s > 0).sum())]
    return s[order], s[order] * energies[order]


def _window(window: Any, size: int) -> tuple[int, int]:
    if window is None:
        first, last = _HEAD, size // _TAIL
        if last < _SPAN * first:
            raise DomainError(
                f"window is needed where there are fewer than {_TAIL * _SPAN * _HEAD} positive eigenvalues, got {size}; give the "
                f"first and the last rank, at least a factor of {_SPAN} apart"
            )
        return first, last
    if not isinstance(window, list | tuple) or len(window) != 2:
        raise DomainError(f"window needs the first and the last rank, got {shown(window)}; write window=(4, 200)")
    first = integer(window[0], "window[0]", least=1, most=size)
    last = integer(window[1], "window[1]", least=1, most=size, remedy="there are no more positive eigenvalues")
    if last < _SPAN * first:
        raise DomainError(
            f"window needs ranks at least a factor of {_SPAN} apart, got {first} to {last}: an exponent is not seen on less; "
            "widen it"
        )
    return first, last


def _line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Return the exponent and the logarithm of the factor of a power of j, every octave of j with the same weight."""
    weight = np.exp(-x)
    weight /= weight.sum()
    centre, level = weight @ x, weight @ y
    slope = (weight * (x - centre)) @ y / (weight @ (x - centre) ** 2)
    return float(-slope), float(level - slope * centre)


def _local(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the local exponents between the ends of cells of equal length in log j."""
    ends = np.interp(np.linspace(x[0], x[-1], _CELLS + 1), x, y)
    return np.asarray(-np.diff(ends) * _CELLS / (x[-1] - x[0]))


def _halves(x: np.ndarray, e: np.ndarray) -> tuple[float, float]:
    """Return the exponents of the energies on two halves of the window; NaN where all of a half are zero."""
    low = x <= (x[0] + x[-1]) / 2
    first, second = (
        _gamma_lines(x[None, half], e[None, half])[0, 0] if e[half].any() else math.nan for half in (low, ~low)
    )
    return float(first), float(second)


def _gamma_lines(x: np.ndarray, e: np.ndarray) -> np.ndarray:
    """Return exponents and logarithms of factors of mean energies for samples (one a row), by Newton's iteration on the likelihood.

    Args:
        x: Logarithms of the ranks, shape (samples, directions).
        e: Energies, likewise; their sum is positive.

    Returns:
        Of shape (samples, 2).
    """
    centre = x.mean(axis=1)
    z = x - centre[:, None]

    def shares(at: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            return np.asarray(e * np.exp(at[:, :1] * z - at[:, 1:]))

    def cost(at: np.ndarray) -> np.ndarray:
        return np.asarray((at[:, 1:] - at[:, :1] * z + shares(at)).sum(axis=1))

    at = np.stack([np.zeros(len(x)), np.log(e.mean(axis=1))], axis=1)
    now = cost(at)
    for _ in range(_STEPS):
        share = shares(at)
        gradient = np.stack([(z * (share - 1)).sum(axis=1), (1 - share).sum(axis=1)], axis=1)
        aa, ab, bb = (share * z * z).sum(axis=1), -(share * z).sum(axis=1), share.sum(axis=1)
        bend = np.stack([aa, ab, ab, bb], axis=1).reshape(-1, 2, 2)
        bend += (_FLAT * (aa + bb))[:, None, None] * np.eye(2)  # a sample that repeats one direction has no slope
        step = np.linalg.solve(bend, gradient[..., None])[..., 0]
        then = cost(at - step)
        while (worse := ~(then <= now + _SETTLED * np.abs(now))).any():
            step[worse] /= 2
            then[worse] = cost(at - step)[worse]
        at -= step
        if (now - then <= _SETTLED * np.abs(now)).all():
            break
        now = then
    return np.stack([at[:, 0], at[:, 1] + at[:, 0] * centre], axis=1)
