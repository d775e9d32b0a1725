r"""The labeller recursion on the nodes, in any arithmetic with arrays: float64 batches, mpmath numbers, dual numbers.

The step is that of the formulas (:func:`collapse_theory.derive.labeller.fitted`). Numbers allow one economy: of what the
fits add to the fluctuations, all that only one later fit can still see is one function,
:math:`H=\sum_jx_j\gamma_j^2h_j`. So a chain carries two functions, whatever its length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from sympy import Expr

from collapse_theory.algebra.effective import EffectiveRidge, ResidualDegrees
from collapse_theory.derive.labeller import FitStep, Fluctuation, Integrals, LabelledRows, Law, fitted
from collapse_theory.derive.labeller import risk as tested
from collapse_theory.derive.labeller_scalars import ChainScalar, PooledScalar
from collapse_theory.numerics.measure import Measure
from collapse_theory.numerics.operator_power import OneFit, Spread, repeated

__all__ = ["ON_FEATURES", "Generations", "labeller_recursion"]

ON_FEATURES = "features"
"""A run of fits on random features."""

_ENTRIES = 1 << 23  # of a matrix for each point of a batch: 64 MB

Repeat = Callable[..., Spread]
"""How a number of equal fits is run, see :func:`.operator_power.repeated`."""

Places = tuple[tuple[int, ...], ...] | str | None


@dataclass(frozen=True)
class Generations:
    """The recursion over fits, or runs of equal fits.

    Attributes:
        fits: For each fit, for each of its labellers, the places of the earlier fits in it. None is a run: a number of fits, each
            labelled by the one before, the first by the previous stage or the truth; :data:`ON_FEATURES` is one on features.
    """

    fits: tuple[Places, ...]

    @property
    def counts(self) -> tuple[int, ...]:
        """Which of the arguments are lengths of runs."""
        found, at = [], 0
        for places in self.fits:
            if isinstance(places, tuple):
                at += 3 + sum(3 + len(group) for group in places)
            else:
                found.append(at + 3)
                at += 4 + (places == ON_FEATURES)
        return tuple(found)

    def run(self, measure: Measure, arguments: Sequence[Any]) -> tuple[Any, Any]:
        """Return bias and variance of the last fit.

        Args:
            measure: Nodes with counts and energies, shape (k,).
            arguments: By stage ``kappa, residual, noise``, then of a run its length, and on features their residual degrees,
                of a fit its labels; scalars or columns of shape (n, 1).
        """
        rows = max((len(a) for a in arguments if np.ndim(a) > 1), default=1)
        step = max(1, _ENTRIES // measure.size**2)
        if rows > step:
            pieces = [[a[i : i + step] if np.ndim(a) > 1 else a for a in arguments] for i in range(0, rows, step)]
            biases, variances = zip(*(self.run(measure, piece) for piece in pieces), strict=True)
            return np.concatenate(list(biases)), np.concatenate(list(variances))
        # What many shrinkages leave of a direction may underflow: it is lost beside what they took from it.
        with np.errstate(under="ignore"):
            bias, variance = self.risk(measure, iter(arguments))
        return bias[..., 0], variance[..., 0]

    def risk(self, measure: Measure, values: Iterator[Any], repeat: Repeat = repeated) -> tuple[Any, Any]:
        """Return bias and variance as columns, of all points at once.

        Args:
            measure: As in :meth:`run`.
            values: The arguments.
            repeat: Runs a number of equal fits.
        """
        s = measure.nodes
        integrals = Integrals(s, partial(measure.trace, rough=True, column=True), partial(measure.form, column=True))
        law = Law({}, {}, ())
        for k, places in enumerate(self.fits):
            kappa, residual, noise = next(values), next(values), next(values)
            lost = kappa / (s + kappa)
            step = FitStep(s / (s + kappa), lost, (1, lost**2), residual)
            if not isinstance(places, tuple):
                count = next(values)
                left_over = next(values) if places == ON_FEATURES else None
                fit = OneFit.of(measure, step.kept, lost, residual, left_over)
                law = _repeated(law, k, fit, partial(repeat, noise=noise, count=count))
            else:
                labels = [
                    LabelledRows(next(values), next(values), next(values), {place: next(values) for place in group})
                    for group in places
                ]
                law = _gathered(fitted(law, k, labels, noise, step, integrals), self._seen_after(k), s)
        return tested(law, len(self.fits) - 1, integrals)

    def _seen_after(self, k: int) -> set[int]:
        """Return the fits up to ``k`` that a later stage is labelled by, or that are tested."""
        later = {place for x in self.fits[k + 1 :] if isinstance(x, tuple) for group in x for place in group}
        return {place for place in later if place <= k} | (
            {k} if k == len(self.fits) - 1 or not isinstance(self.fits[k + 1], tuple) else set()
        )


def _gathered(law: Law, seen: set[int], s: Any) -> Law:
    """Return the law of the fits that are seen, the sources that only one of them sees made one for target and noise."""
    shared: list[Fluctuation] = []
    alone: dict[int, list[Fluctuation]] = {place: [] for place in sorted(seen)}
    for x in law.sources:
        gains = {place: y for place, y in x.gains.items() if place in seen}
        if len(gains) > 1:
            shared.append(Fluctuation(x.target, x.noise, x.shape, gains))
        for place in gains if len(gains) == 1 else ():
            alone[place].append(x)
    for place, sources in alone.items():
        shapes = [(x, x.shape * x.gains[place] ** 2) for x in sources]
        shared.append(Fluctuation(1, 0, _total([(x.target, h) for x, h in shapes], s), {place: 1}))
        shared.append(Fluctuation(0, 1, _total([(x.noise, h) for x, h in shapes], s), {place: 1}))
    return Law({place: law.kept[place] for place in alone}, {place: law.lost[place] for place in alone}, tuple(shared))


def _total(terms: Sequence[tuple[Any, Any]], s: Any) -> Any:
    """Return the sum of amounts times shapes; a source that is one already has nothing of the other kind."""
    own = [a * h for a, h in terms if not (isinstance(a, int) and a == 0)]
    return sum(own[1:], own[0]) if own else 0 * s


def _repeated(law: Law, k: int, fit: OneFit, repeat: Callable[[OneFit, Spread], Spread]) -> Law:
    """Return the law after a number of equal fits, each labelled by the one before."""
    state = repeat(fit, _labeller(law, k, fit.measure.nodes))
    sources = (Fluctuation(1, 0, state.target, {k: 1}), Fluctuation(0, 1, state.noise, {k: 1}))
    return Law({k: state.kept}, {k: state.lost}, sources)


def _labeller(law: Law, k: int, s: Any) -> Spread:
    """Return the mean and the fluctuations of the labeller of a run's first fit."""
    if k == 0:
        return Spread(1 + 0 * s, 0 * s, 0 * s, 0 * s)
    last = _gathered(law, {k - 1}, s)
    return Spread(last.kept[k - 1], last.lost[k - 1], *(x.shape for x in last.sources))


def labeller_recursion(node: ChainScalar | PooledScalar) -> tuple[Generations, tuple[Expr, ...]]:
    """Return the rule that gives the bias and variance of a scalar's stages, and its arguments."""
    arguments: list[Expr] = []
    fits: list[Places] = []
    if isinstance(node, ChainScalar):
        for fit, count in node.runs:
            arguments += [fit.kappa, fit.residual, fit.sigma**2, count]
            fits.append(None if fit.m is None else ON_FEATURES)
            arguments += () if fit.m is None else (fit.left_over,)
        return Generations(tuple(fits)), tuple(arguments)
    for stage in node.stages:
        arguments += [EffectiveRidge(stage.T, stage.lam), ResidualDegrees(stage.T, stage.lam), stage.noise]
        fits.append(tuple(tuple(labels.fits) for labels in stage.labels))
        for labels in stage.labels:
            arguments += [labels.share, labels.truth, labels.missing, *labels.fits.values()]
    return Generations(tuple(fits)), tuple(arguments)
