r"""The law that practitioners fit, :math:`L(N,D)=E+AN^{-a}+BD^{-b}`, with what the data do and do not determine of it.

A loss is positive and its noise relative, so logarithms are compared, :math:`\rho_i=(\log L_i-\log y_i)/\epsilon_i`, with Huber's
loss: quadratic up to :math:`1.345` scales, linear beyond, so that a few failed runs do not decide. Without standard errors
the scale is the median of absolute residuals over that of a normal law, found again after each fit.

**Starts.** At given exponents the law is linear in :math:`E,A,B\ge0`, and non-negative least squares solve for them. A grid of
exponents is looked at so, and the best few are taken to their local minima, all parameters free.

**Intervals** are percentiles of a bootstrap: the law is fitted anew to its own values with noise, which is normal if standard
errors were given. Otherwise it is drawn from the residuals, widened by :math:`\sqrt{n/(n-p)}` for the p parameters that were
fitted, and by the ratio of the quantiles of Student's and the normal law for their estimated scale.

**Identifiability.** A power of N is told from a constant by three values of N at least, and each parameter costs a point, so
fewer are refused. Where N and D move together, their two terms exchange; that the derivatives of the law are linearly dependent
at the fit is an error too. What is left is a matter of noise: a parameter whose interval reaches an end of its range is
listed in ``undetermined``. For E that end is 0: the data do not show a floor.

An interval always holds the estimate.

**The wrong law.** Intervals speak of noise alone. A smooth curve that is no such law leaves residuals that follow one another along
the sizes: ``p_value`` compares the sum of squares of their successive differences (von Neumann) with that of shuffled ones.

Source: Hoffmann et al., Training Compute-Optimal Large Language Models, 2022, section 3.3 (the law; Huber's loss of logarithms,
many starts); Besiroglu, Erdil, Barnett, You, Chinchilla Scaling: A Replication Attempt, 2024 (why its intervals matter).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
from scipy.optimize import least_squares, nnls
from scipy.stats import norm
from scipy.stats import t as student

from collapse_theory.core.attributes import Displayed
from collapse_theory.core.errors import DomainError, shown
from collapse_theory.core.numbers import integer, real, real_array, real_values

__all__ = ["LawFit", "fit_law"]

_EXPONENTS = np.geomspace(0.03, 3, 14)
_RANGE = (1e-3, 10.0)  # of an exponent
_LOG = 60.0  # how far the logarithm of a term at the typical size may move
_POLISHED = 4
_BEND = 1.345
_NORMAL = 0.6744897501960817  # median of the absolute value of a standard normal number
_PASSES, _SAME = 12, 1e-3
_EXACT = 1e-12  # scale of residuals below which they are round-off
_SINGULAR = 1e-9
_AT_END = 1e-3
_FINE, _ROUGH = 1e-12, 1e-7  # relative accuracy of a fit, and of a bootstrap sample
_DISTINCT = 3
_DRAWS = 200
_SHUFFLES = 999
_MOST_DRAWS = 10**5


@dataclass(frozen=True)
class LawFit(Displayed):
    """A fitted law.

    Attributes:
        value: Parameters by name: ``E``, with N also ``A`` and ``a``, with D also ``B`` and ``b``.
        intervals: Confidence intervals by name; ``inf`` is beyond the range that was searched.
        level: Their confidence.
        undetermined: Parameters whose interval reaches an end of the range, so that the data bound them on one side at most.
        scatter: Robust scale of the residuals: of log loss, or in standard errors if they were given.
        p_value: Chance of residuals that follow one another so closely along the sizes if the law is right; where it is small, the
            intervals leave out what matters.
        residuals: Log fitted over observed loss, shape (points,).
        draws: The bootstrap samples, one row each, in the order of ``value``.
    """

    value: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    level: float
    undetermined: tuple[str, ...]
    scatter: float
    p_value: float
    residuals: np.ndarray = field(repr=False)
    draws: np.ndarray = field(repr=False)

    def predict(self, N: Any = None, D: Any = None) -> Any:
        """Return the law at sizes.

        Args:
            N: Model sizes, positive, if the law has a term in N.
            D: Numbers of tokens or rows, positive, if it has a term in D.

        Returns:
            A float, or an array of the broadcast shape.

        Raises:
            DomainError: If a size is missing, not positive, or not of the law.
        """
        total: Any = self.value["E"]
        for name, size, factor, power in (("N", N, "A", "a"), ("D", D, "B", "b")):
            if (size is None) == (factor in self.value):
                raise DomainError(
                    f"predict needs {'a value of' if size is None else 'no'} {name} for this law, got {shown(size)}; its "
                    f"parameters are {', '.join(self.value)}"
                )
            if size is not None:
                x = real_values(size, name)
                if not (x > 0).all():
                    raise DomainError(f"{name} needs to be > 0, got {shown(size)}; give sizes")
                total = total + self.value[factor] * x ** -self.value[power]
        return float(total) if np.ndim(total) == 0 else total

    def __repr__(self) -> str:
        found = ", ".join(
            f"{name} = {self.value[name]:.4g} [{low:.4g}, {high:.4g}]" for name, (low, high) in self.intervals.items()
        )
        lost = f"; undetermined: {', '.join(self.undetermined)}" if self.undetermined else ""
        tail = f"; scatter {self.scatter:.2g}, p = {self.p_value:.2g}{lost}"
        return f"LawFit({found} at {100 * self.level:g} %{tail})"


def fit_law(
    loss: Any, *, N: Any = None, D: Any = None, errors: Any = None, level: Any = 0.9, draws: Any = _DRAWS, seed: Any = 0
) -> LawFit:
    r"""Fit :math:`E+AN^{-a}+BD^{-b}`, or without N or D the law of the other alone, to losses.

    Args:
        loss: Losses of the runs, positive, shape (points,). A test error with its label noise, or an excess risk.
        N: Model size of each run, positive, at least three different ones; None for a law of D alone.
        D: Tokens or rows of each run, likewise.
        errors: Standard errors of the losses, positive; None estimates one relative error for all.
        level: Confidence of the intervals, between 0 and 1.
        draws: Number of bootstrap samples.
        seed: Of the bootstrap.

    Raises:
        DomainError: If there are too few points or sizes, if two terms cannot be told apart on these sizes, or a value is out of
            range.

    >>> D = np.geomspace(1e3, 1e9, 13)
    >>> found = fit_law(1.7 + 400 * D**-0.3, D=D)
    >>> {name: round(x, 6) for name, x in found.value.items()}
    {'E': 1.7, 'B': 400.0, 'b': 0.3}
    """
    law = _LawProblem.of(loss, N, D, errors)
    share = float(real(level, "level", positive=True, number=True))
    if not share < 1:
        raise DomainError(f"level needs to be between 0 and 1, got {shown(level)}; give for example 0.9")
    count = integer(draws, "draws", least=1, most=_MOST_DRAWS)
    rng = np.random.default_rng(integer(seed, "seed", least=0))
    theta, scale = law.fitted()
    law.check_identified(theta)
    residuals = law.residuals(theta, law.log)
    there = law.log_law(theta)
    samples = np.array([law.refitted(theta, scale, there + e, _ROUGH) for e in law.noise(residuals, share, count, rng)])
    parameters, found = law.parameters(samples), law.parameters(theta[None])[0]
    if not np.isfinite(found).all():
        raise DomainError(
            "fit_law needs sizes whose powers fit float64, got a factor that does not; give the sizes in larger units"
        )
    low, high = np.quantile(parameters, [(1 - share) / 2, (1 + share) / 2], axis=0, method="inverted_cdf")
    intervals, lost = {}, []
    at_end = law.at_end(samples)
    for k, name in enumerate(law.names):
        ends = [float(min(low[k], found[k])), float(max(high[k], found[k]))]
        for side, mark in ((0, 0.0), (1, math.inf)):
            if at_end[:, side, k].mean() > (1 - share) / 2:
                ends[side] = mark
        if ends[0] == 0 or ends[1] == math.inf:
            lost.append(name)
        intervals[name] = (ends[0], ends[1])
    return LawFit(
        dict(zip(law.names, found.tolist(), strict=True)),
        intervals,
        share,
        tuple(lost),
        float(scale),
        law.following(residuals, rng),
        residuals * law.relative,
        parameters,
    )


@dataclass(frozen=True, eq=False)
class _LawProblem:
    r"""The least-squares problem in the coordinates :math:`\theta=(E/y_{\min},\ (\log t_k,e_k)_k)`.

    :math:`t_k` is a term at the geometric mean of its sizes, in units of the least loss, and :math:`e_k` its exponent.

    Attributes:
        names: Of the parameters.
        log: Logarithms of the losses over the least one.
        unit: The least loss.
        logs: Logarithms of the sizes over their geometric mean, one row for each term.
        centres: Logarithms of those means.
        relative: Relative standard errors, or ones.
        known: Whether they were given.
    """

    names: tuple[str, ...]
    log: np.ndarray
    unit: float
    logs: np.ndarray
    centres: np.ndarray
    relative: np.ndarray
    known: bool

    @classmethod
    def of(cls, loss: Any, N: Any, D: Any, errors: Any) -> _LawProblem:
        y = _positive(loss, "loss")
        names: tuple[str, ...] = ("E",)
        logs: list[np.ndarray] = []
        for label, size, pair in (("N", N, ("A", "a")), ("D", D, ("B", "b"))):
            if size is None:
                continue
            x = _positive(size, label)
            if x.size != y.size:
                raise DomainError(f"{label} needs one value per loss ({y.size}), got {x.size}; align them")
            if np.unique(x).size < _DISTINCT:
                raise DomainError(
                    f"{label} needs at least {_DISTINCT} different values to tell a power from a constant, got "
                    f"{np.unique(x).size}; add runs, or omit {label}, whose term then is part of E"
                )
            names, logs = names + pair, [*logs, np.log(x)]
        if not logs:
            raise DomainError("fit_law needs N or D, got neither; give the sizes of the runs")
        if y.size <= len(names):
            raise DomainError(
                f"fit_law needs more points than its {len(names)} parameters {', '.join(names)}, got {y.size}; add runs, or fit "
                "the law of one size alone"
            )
        relative = np.ones(y.size)
        if errors is not None:
            relative = _positive(errors, "errors")
            if relative.size != y.size:
                raise DomainError(f"errors needs one value per loss ({y.size}), got {relative.size}; align them")
            relative = relative / y
        logs_array = np.array(logs)
        centres = logs_array.mean(axis=1)
        unit = float(y.min())
        return cls(names, np.log(y / unit), unit, logs_array - centres[:, None], centres, relative, errors is not None)

    # ------------------------------------------------------------------ the law
    def _terms(self, theta: np.ndarray) -> np.ndarray:
        return np.asarray(np.exp(theta[1::2, None] - theta[2::2, None] * self.logs))

    def log_law(self, theta: np.ndarray) -> np.ndarray:
        """Return the logarithm of the law over the least loss."""
        return np.asarray(np.log(np.maximum(theta[0] + self._terms(theta).sum(axis=0), np.finfo(float).tiny)))

    def residuals(self, theta: np.ndarray, log: np.ndarray) -> np.ndarray:
        """Return the residuals in units of the relative errors."""
        return np.asarray((self.log_law(theta) - log) / self.relative)

    def jacobian(self, theta: np.ndarray) -> np.ndarray:
        """Return the derivatives of the residuals, shape (points, parameters)."""
        terms = self._terms(theta)
        total = np.maximum(theta[0] + terms.sum(axis=0), np.finfo(float).tiny)
        columns = [np.ones(self.log.size)]
        for term, size in zip(terms, self.logs, strict=True):
            columns += [term, -term * size]
        return np.asarray(np.array(columns).T / (total * self.relative)[:, None])

    def parameters(self, theta: np.ndarray) -> np.ndarray:
        """Return E and factors and exponents at coordinates of shape (fits, parameters)."""
        out = theta.copy()
        out[:, 0] *= self.unit
        with np.errstate(over="ignore", under="ignore"):
            out[:, 1::2] = self.unit * np.exp(theta[:, 1::2] + theta[:, 2::2] * self.centres)
        return out

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """The ends of the range of the coordinates."""
        low, high = np.empty(len(self.names)), np.empty(len(self.names))
        low[0], high[0] = 0.0, math.exp(self.log.max())
        low[1::2], high[1::2] = -_LOG, _LOG
        low[2::2], high[2::2] = _RANGE
        return low, high

    def at_end(self, theta: np.ndarray) -> np.ndarray:
        """Return whether coordinates are at the lower or the upper end of their range, shape (fits, 2, parameters)."""
        low, high = self.bounds
        reach = _AT_END * np.where(np.arange(low.size) == 0, 1.0, np.abs(low))
        return np.stack([theta <= low + reach, theta >= high - _AT_END * np.abs(high)], axis=1)

    # ------------------------------------------------------------------ fits
    def fitted(self) -> tuple[np.ndarray, float]:
        """Return the coordinates of the least robust loss over all starts, and the scale of the residuals."""
        scale = 1.0 if self.known else max(float(np.std(self.log)), _EXACT)
        starts = self._starts()
        theta = self._best(starts, scale)
        for _ in range(0 if self.known else _PASSES):
            found = self._scale(theta)
            if abs(found - scale) <= _SAME * scale:
                break
            scale = found
            theta = self.refitted(theta, scale, self.log, _ROUGH)
        return self.refitted(self._best([theta, *starts], scale), scale, self.log), scale

    def _best(self, starts: list[np.ndarray], scale: float) -> np.ndarray:
        found = [self.refitted(t, scale, self.log, _ROUGH) for t in starts]
        return min(found, key=lambda t: self._cost(t, scale))

    def _scale(self, theta: np.ndarray) -> float:
        """Return the median of the residuals beyond the smallest ones, of which the parameters may fit away their number."""
        size, fitted = np.sort(np.abs(self.residuals(theta, self.log))), len(self.names)
        return max(float(np.median(size[fitted:] if size.size > 2 * fitted else size)) / _NORMAL, _EXACT)

    def _starts(self) -> list[np.ndarray]:
        found = []
        weight = 1 / (np.exp(self.log) * self.relative)
        low, high = self.bounds
        for exponents in product(_EXPONENTS, repeat=len(self.logs)):
            design = np.column_stack([np.ones(self.log.size), *np.exp(-np.array(exponents)[:, None] * self.logs)])
            factors, rest = nnls(design * weight[:, None], np.exp(self.log) * weight)
            theta = np.empty(len(self.names))
            theta[0] = factors[0]
            theta[1::2] = np.log(np.maximum(factors[1:], 1e-6))
            theta[2::2] = exponents
            found.append((rest, np.clip(theta, low, high)))
        found.sort(key=lambda pair: pair[0])
        return [theta for _, theta in found[:_POLISHED]]

    def refitted(self, start: np.ndarray, scale: float, log: np.ndarray, tolerance: float = _FINE) -> np.ndarray:
        """Return the local minimum of the robust loss for given logarithms below a start."""
        low, high = self.bounds
        margin = 1e-9 * (high - low)

        def residuals(theta: np.ndarray) -> np.ndarray:
            return self.residuals(theta, log)

        run = least_squares(
            residuals,
            np.clip(start, low + margin, high - margin),
            jac=self.jacobian,
            bounds=(low, high),
            loss="huber",
            f_scale=_BEND * scale,
            x_scale="jac",
            xtol=tolerance,
            ftol=tolerance,
            gtol=tolerance,
            max_nfev=400,
        )
        return np.asarray(run.x)

    def _cost(self, theta: np.ndarray, scale: float) -> float:
        size = np.abs(self.residuals(theta, self.log)) / (_BEND * scale)
        return float(np.where(size <= 1, size**2, 2 * size - 1).sum())

    def noise(self, residuals: np.ndarray, level: float, count: int, rng: np.random.Generator) -> np.ndarray:
        """Return noise of the logarithms for so many bootstrap samples, as wide as intervals of that level need."""
        if self.known:
            return np.asarray(self.relative * rng.standard_normal((count, self.log.size)))
        points, upper = self.log.size, (1 + level) / 2
        free = points - len(self.names)
        width = math.sqrt(points / free) * student.ppf(upper, free) / norm.ppf(upper)
        wide = (residuals - residuals.mean()) * width
        return np.asarray(rng.choice(wide, (count, points)))

    def following(self, residuals: np.ndarray, rng: np.random.Generator) -> float:
        """Return the chance that shuffled residuals follow one another as closely along each size as these do."""
        orders = [np.lexsort((*np.delete(self.logs, k, axis=0), self.logs[k])) for k in range(len(self.logs))]
        if np.abs(residuals).max() * self.relative.max() <= _EXACT:
            return 1.0

        def steps(values: np.ndarray) -> float:
            return float(sum((np.diff(values[order]) ** 2).sum() for order in orders))

        observed = steps(residuals)
        closer = sum(steps(rng.permutation(residuals)) <= observed for _ in range(_SHUFFLES))
        return (1 + closer) / (1 + _SHUFFLES)

    def check_identified(self, theta: np.ndarray) -> None:
        """Check that no combination of parameters leaves the law as it is.

        Raises:
            DomainError: If one does.
        """
        columns = self.jacobian(theta)
        length = np.linalg.norm(columns, axis=0)
        live = length > 0
        _, singular, rows = np.linalg.svd(columns[:, live] / length[live])
        if singular[-1] > _SINGULAR:
            return
        names = np.array(self.names)[live]
        involved = names[np.abs(rows[-1]) > 1e-3]
        raise DomainError(
            f"these runs cannot tell {' and '.join(involved)} apart, whatever the noise: the sizes move together; add runs "
            "that change one size alone, or fit the law of one size"
        )


def _positive(values: Any, name: str) -> np.ndarray:
    x = real_array(values, name)
    if x.ndim != 1 or not (x > 0).all():
        raise DomainError(f"{name} needs to be a list of numbers > 0, got {shown(values)}; give one per run")
    return x
