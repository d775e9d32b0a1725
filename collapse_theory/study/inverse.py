"""The inverse question: which generations, noises or shares make the error curve that was observed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import chi2 as chi2_law
from scipy.stats import f as f_law
from sympy import Symbol

from collapse_theory.core.arguments import instance
from collapse_theory.core.attributes import Displayed
from collapse_theory.core.errors import DomainError, shown
from collapse_theory.core.numbers import real, real_values
from collapse_theory.derive.formula import ErrorFormula
from collapse_theory.study.confounded import Confounded, confounded
from collapse_theory.study.curve_fit import CurveFit, FreeParameter
from collapse_theory.study.integer_profile import MOST_ROUNDS, IntegerProfile
from collapse_theory.study.observed import Observed
from collapse_theory.study.search import Search, pair
from collapse_theory.symbols import d as dimension

if TYPE_CHECKING:
    from collapse_theory.describe.targets import Target
    from collapse_theory.numerics.measure import Spectra

__all__ = ["Inference", "infer"]

_TEST_NOISE = "test_noise"
_MOVED = (-0.37, 0.0, 0.53)  # of the coordinates, where the same is looked at


@dataclass(frozen=True)
class Inference(Displayed):
    r"""Unknowns estimated from an observed error curve.

    Attributes:
        formula: The test error.
        over: The unknowns, by name.
        value: Their estimates, by name: the least :math:`\chi^2`.
        predicted: The fitted curve, of the shape of the observed one.
        residuals: Standardised, of the same shape: logarithm of predicted over observed, over the relative error.
        chi2: Their sum of squares.
        degrees: Points less unknowns.
        p_value: Chance of a larger :math:`\chi^2` if formula and standard errors are right; None without standard errors,
            or if no degree is left.
        scatter: The relative error of a point: as estimated if no standard errors were given, else None.
        scan: What was computed on the way.
    """

    formula: ErrorFormula
    over: tuple[str, ...]
    value: Mapping[str, Any]
    predicted: np.ndarray
    residuals: np.ndarray
    chi2: float
    degrees: int
    p_value: float | None
    scatter: float | None
    scan: IntegerProfile = field(repr=False)

    @property
    def profile(self) -> Mapping[int, float]:
        r"""The least :math:`\chi^2` by value of the unknown integer, where it was computed; empty without one."""
        return {n: found.chi2 for n, found in sorted(self.scan.found.items())} if self.scan.integer else {}

    def interval(self, level: float = 0.9) -> dict[str, tuple[Any, Any]]:
        r"""Return confidence intervals by name, from the profile likelihood.

        An interval holds the values at which the best fit over all other unknowns has a :math:`\chi^2` of at most the least
        one plus the quantile of :math:`\chi^2_1`; if the noise is estimated, plus the quantile of :math:`F_{1,\nu}` times the
        scatter. It respects the range: a noise that may be absent has the lower end 0, and what is not bounded by the
        data has the end of the range, ``inf`` if there is none.

        Args:
            level: Confidence of each interval, between 0 and 1.

        Raises:
            DomainError: If the level is out of range.
        """
        share = float(real(level, "level", positive=True, number=True))
        if not share < 1:
            raise DomainError(f"level needs to be between 0 and 1, got {shown(level)}; give for example 0.9")
        if self.scatter is None:
            allowed = float(chi2_law.ppf(share, 1))
        else:
            allowed = float(f_law.ppf(share, 1, self.degrees)) * self.chi2 / self.degrees
        ends = self.scan.intervals(self.chi2 + allowed)
        return {name: ends[name] for name in self.over}

    @cached_property
    def covariance(self) -> np.ndarray | None:
        """Covariance of the continuous unknowns in the order of ``over``, linearised, at the estimated integer.

        None if an estimate lies at an end of its range, where there is no linear law; see :meth:`interval`.
        """
        fit, t = self.scan.best, self.scan.best.best.t
        if not np.isfinite(t).all() or not t.size:
            return None
        speed = np.array([u.slope(t[k]) for k, u in enumerate(fit.unknowns)])
        information = fit.jacobian(t) / speed
        noise = 1.0 if self.scatter is None else self.scatter**2
        return noise * np.linalg.inv(information.T @ information)

    def __repr__(self) -> str:
        ends = self.interval()
        found = ", ".join(f"{x} = {self.value[x]:.4g} [{ends[x][0]:.4g}, {ends[x][1]:.4g}]" for x in self.over)
        fit = f"chi2 = {self.chi2:.3g} on {self.degrees}" if self.scatter is None else f"scatter {self.scatter:.2g}"
        tail = "" if self.p_value is None else f", p = {self.p_value:.2g}"
        return f"Inference({self.formula.name}: {found} at 90 %; {fit}{tail})"


def infer(
    err: ErrorFormula,
    observed: Any,
    *,
    over: str | Symbol | Iterable[str | Symbol],
    errors: Any = None,
    spectrum: Spectra | None = None,
    target: Target | None = None,
    test_noise: Any = None,
    between: Mapping[str, tuple[float, float]] | None = None,
    **values: Any,
) -> Inference:
    r"""Estimate unknowns of a test error from an observed error curve, with their uncertainty.

    The unknowns minimise :math:`\chi^2=\sum_i\big(\log E_i-\log y_i-\tfrac12v_i\big)^2/v_i` over their ranges, :math:`v_i` the
    squared relative error of :math:`y_i` (:mod:`collapse_theory.study.observed`): weighted non-linear least squares with the
    exact derivatives of the formula, from many starts, for each value of an unknown integer.

    Args:
        err: Any test error.
        observed: Test errors of the same fit at known arguments, at least one per unknown; positive.
        over: The unknown, or several; at most one integer among them. ``"test_noise"`` is the label noise of the test points,
            for errors that are known up to it.
        errors: Standard errors of ``observed``, or the covariance matrix of a list. The points are independent unless that
            matrix says otherwise: simulations of one seed are not. Without it, all points have one relative error, which is
            estimated.
        spectrum: Eigenvalues of the input covariance.
        target: Energies of the true coefficients.
        test_noise: Standard deviation of the label noise that the observed errors contain; default none.
        between: Ranges by name. By default what the symbol's assumptions and the conditions of the theorem allow, at most 1
            for ``w``, ``p1``, ``p2``, and at most 100 above the least possible value for an integer.
        **values: The known arguments by name; scalars, or arrays that broadcast to the shape of ``observed``.

    Raises:
        DomainError: If the curve cannot tell unknowns apart, whatever its noise (the message names the combination that it
            does determine); if the fit improves up to the largest integer looked at; if there are too few points; or as in
            :meth:`~collapse_theory.derive.formula.ErrorFormula.evaluate`.

    >>> import collapse_theory as ct
    >>> err = ct.catalog["ridge-replace"].error
    >>> about = dict(spectrum=ct.PowerLaw(100, beta=1.2), target=ct.RandomTarget(), T=200, T0=300, sigma=0.3)
    >>> lam = [0.001, 0.01, 0.1, 1.0]
    >>> curve = err.evaluate(**about, n=3, sigma0=0.4, lam=lam)
    >>> found = ct.infer(err, curve, over="n", errors=0.05 * curve, **about, sigma0=0.4, lam=lam)
    >>> found.value, found.interval(0.9)
    ({'n': 3}, {'n': (3, 3)})
    """
    instance(err, ErrorFormula, "err", "derive one with ct.test_error(pipeline)", DomainError)
    unknowns = _unknowns(err, over, values, test_noise)
    ranges = _ranges(between, unknowns)
    curve = Observed.of(observed, errors)
    needed = len(unknowns) + (curve.root is None)
    if curve.size < needed:
        raise DomainError(
            f"infer needs at least {needed} points for {', '.join(unknowns)}{'' if curve.root is not None else ' and the noise'}, "
            f"got {curve.size}; observe more, or fix an unknown"
        )
    scan = _scan(err, curve, unknowns, ranges, {"spectrum": spectrum, "target": target}, values, test_noise)
    lost = _confounded(scan, unknowns)
    if lost is not None:
        raise DomainError(_told(err, lost, scan))
    return _inference(err, curve, unknowns, scan)


def _inference(err: ErrorFormula, curve: Observed, unknowns: Mapping[str, Any], scan: IntegerProfile) -> Inference:
    fit = scan.best
    x, degrees = fit.values(fit.best.t), curve.size - len(unknowns)
    fit.check(x)
    found = dict(zip((u.name for u in fit.unknowns), x.tolist(), strict=True))
    if scan.integer is not None:
        found[scan.integer.name] = scan.estimate
    known = curve.root is not None
    chi2 = fit.best.chi2
    return Inference(
        formula=err,
        over=tuple(unknowns),
        value={name: found[name] for name in unknowns},
        predicted=fit.errors(x[None])[0].reshape(curve.shape),
        residuals=fit.residuals(fit.best.t).reshape(curve.shape),
        chi2=chi2,
        degrees=degrees,
        p_value=float(chi2_law.sf(chi2, degrees)) if known and degrees else None,
        scatter=None if known else math.sqrt(chi2 / degrees),
        scan=scan,
    )


# ------------------------------------------------------------------ what is asked
def _unknowns(err: ErrorFormula, over: Any, values: Mapping[str, Any], test_noise: Any) -> dict[str, Symbol | None]:
    """Return the unknowns by name; None stands for the label noise of the test points, which is put last."""
    several = isinstance(over, Iterable) and not isinstance(over, str | Symbol)
    asked = list(over) if several else [over]
    chosen = {_name(x): None if _name(x) == _TEST_NOISE else err.symbol(x) for x in asked}
    if not chosen or len(chosen) < len(asked):
        raise DomainError(f"over needs different unknowns, got {shown(over)}; for example over=['n', 'sigma']")
    for name, x in chosen.items():
        if name in values or (x is None and test_noise is not None):
            given = values.get(name, test_noise)
            raise DomainError(f"over needs unknowns without a value, got {name}={shown(given)} too; omit one of them")
        if x == dimension:
            raise DomainError(
                "over needs arguments beside the spectrum, got 'd', which it fixes; compare spectra instead"
            )
    integers = [name for name, x in chosen.items() if x is not None and x.is_integer]
    if len(integers) > 1:
        raise DomainError(f"over needs at most one integer, got {', '.join(integers)}; give one of them a value")
    for condition in err.conditions:
        tied = sorted(name for name, x in chosen.items() if x in condition.free_symbols)
        if len(tied) > 1:
            raise DomainError(
                f"over needs unknowns with ranges of their own, got {' and '.join(tied)}, tied by {condition}; substitute one "
                "with err.subs"
            )
    return chosen


def _name(x: Any) -> Any:
    return x.name if isinstance(x, Symbol) else x if isinstance(x, str) else shown(x)


def _ranges(between: Any, unknowns: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    if between is None:
        return {}
    if not isinstance(between, Mapping):
        raise DomainError(
            f"between needs ranges by name, got {shown(between)}; write {{{next(iter(unknowns))!r}: (0, 1)}}"
        )
    for name in between:
        if name not in unknowns:
            raise DomainError(
                f"between needs ranges of {', '.join(unknowns)}, got one of {shown(name)}; put it into over="
            )
    return {name: pair(value, f"between of {name}") for name, value in between.items()}


def _scan(
    err: ErrorFormula,
    curve: Observed,
    unknowns: Mapping[str, Symbol | None],
    ranges: Mapping[str, tuple[float, float]],
    about: Mapping[str, Any],
    values: Mapping[str, Any],
    test_noise: Any,
) -> IntegerProfile:
    """Return the least-squares problem by value of the unknown integer."""
    symbols = [x for x in unknowns.values() if x is not None]
    integer = next((x for x in symbols if x.is_integer), None)
    moved = tuple(x for x in symbols if x is not integer)
    search = Search.of(err, moved, about, ranges, values if integer is None else {**values, integer.name: 1})
    noise = real_values(0.0 if test_noise is None else test_noise, _TEST_NOISE)
    if not (np.isfinite(noise) & (noise >= 0)).all():
        raise DomainError(f"test_noise needs to be finite and >= 0, got {shown(test_noise)}; give a standard deviation")
    for what, shape in (("arguments", search.shape), (_TEST_NOISE, noise.shape)):
        if len(shape) > len(curve.shape) or any(
            a not in {1, b} for a, b in zip(reversed(shape), reversed(curve.shape), strict=False)
        ):
            raise DomainError(
                f"{what} need to broadcast to the shape of observed, {curve.shape}, got {shape}; give one value per point"
            )
    each = [_range(search, x) for x in moved]
    if _TEST_NOISE in unknowns:
        low, high = ranges.get(_TEST_NOISE, (0.0, math.inf))
        unit = math.sqrt(curve.values.min())
        ends = {"low_closed": True, "high_closed": math.isfinite(high)}
        each.append(FreeParameter(_TEST_NOISE, max(low, 0.0), high, **ends, unit=unit))
    fit = CurveFit(search, curve, tuple(each), np.broadcast_to(noise, curve.shape).ravel() ** 2)
    if integer is None:
        return IntegerProfile(fit, None, 0, 0, is_bounded=True)
    interval = search.interval_of(integer, search.values)
    least, most = math.ceil(float(interval.low.max())), float(interval.high.min())
    bounded = math.isfinite(most)
    return IntegerProfile(fit, integer, least, math.floor(most) if bounded else least + MOST_ROUNDS, is_bounded=bounded)


def _range(search: Search, x: Symbol) -> FreeParameter:
    """Return the range of an unknown that holds at every point."""
    interval = search.interval_of(x, search.values)
    low, high = float(interval.low.max()), float(interval.high.min())
    if not low < high:
        raise DomainError(
            f"{search.formula.name} leaves no range for {x.name} at all points; change the other arguments"
        )
    closed = (
        bool(interval.low_closed[interval.low == low].all()),
        bool(interval.high_closed[interval.high == high].all()),
    )
    return FreeParameter(x.name, low, high, *closed, float(interval.unit.max()))


# ------------------------------------------------------------------ what a curve cannot tell
def _confounded(scan: IntegerProfile, unknowns: Mapping[str, Any]) -> Confounded | None:
    """Return unknowns that do not change the curve separately, looked at around a curve like the observed one."""
    fit = scan.generic
    fit.check(fit.values(np.zeros(len(fit.unknowns))))  # the known arguments: nothing was evaluated so far
    centre = fit.starts[0] if fit.unknowns else np.empty(0)
    moved = [centre + step * (1 + np.arange(centre.size)) for step in _MOVED]
    jacobians, names = [], [u.name for u in fit.unknowns]
    for t in moved:
        x = fit.values(t)
        fit.check(x)
        columns = fit.slopes(x) * x
        if scan.integer is not None:
            columns = np.column_stack([columns, scan.slope(x)])
        jacobians.append(columns / fit.observed.values[:, None])
    if scan.integer is not None:
        names.append(scan.integer.name)
    found = confounded(names, jacobians)
    if found is None or not found.exponents:
        return found
    order = sorted(range(len(found.names)), key=lambda i: list(unknowns).index(found.names[i]))
    return replace(
        found, names=tuple(found.names[i] for i in order), exponents=tuple(found.exponents[i] for i in order)
    )


def _told(err: ErrorFormula, lost: Confounded, scan: IntegerProfile) -> str:
    """Return what is confounded, in words, and what of it the curve does determine."""
    if len(lost.names) == 1:
        return f"{err.name} does not depend on {lost.names[0]} at these points; give it a value"
    both = f"{', '.join(lost.names[:-1])} and {lost.names[-1]}"
    if not lost.exponents:
        return f"{err.name} cannot tell {both} apart at these points, whatever the noise; fix one, or observe other arguments"
    fit = scan.generic
    start, names = fit.starts[0], [u.name for u in fit.unknowns]
    held = {} if scan.integer is not None else {names.index(lost.names[0]): start[names.index(lost.names[0])]}
    x = dict(zip(names, fit.values(fit.polished(start, held).t).tolist(), strict=True))
    if scan.integer is not None:
        x[scan.integer.name] = scan.generic_value
    value = math.prod(x[name] ** float(a) for name, a in zip(lost.names, lost.exponents, strict=True))
    return (
        f"{err.name} cannot tell {both} apart: the curve determines only {lost.combination} = {value:.6g}; give {lost.names[0]} "
        "or the other a value"
    )
