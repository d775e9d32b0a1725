r"""Many equal fits at once: powers of the generation operator, by doubling.

Of :math:`N` equal fits, each labelled by the one before, an eigendirection keeps :math:`r^N`. What was random before, and what
it was that each fit made random, moves between directions: with :math:`H` as in :mod:`.generations` and the energies :math:`e`,

.. math:: H\mapsto r^{2N}H+K_N(mH+e\,sk^2)+S_N\tau^2,\qquad
   K_1=\frac{r^2\otimes c^2}{T-\mathrm{df}_2},\quad S_1=\frac{r^2}{T-\mathrm{df}_2},

where :math:`k` is the mean before and :math:`m` counts directions. Twice as many fits have

.. math:: K_{2N}=K_NmK_N+r^{2N}K_N+K_Nr^{2N},\qquad S_{2N}=S_N+r^{2N}S_N+K_NmS_N,

so :math:`n` fits cost :math:`\log_2n` products of matrices. All terms are positive: nothing cancels. :math:`1-r^N` is carried
beside :math:`r^N`, and :math:`K` holds only what was made random at least once, of which each fit loses at least as much as it
moves (:math:`1-r^2=c(1+r)`, and of the mass :math:`\operatorname{tr}H/s` a fit loses :math:`c\,[1+\theta r]` with
:math:`0\le\theta\le1`): so errors of round-off do not grow with :math:`n` either.

A fit on random features (:mod:`collapse_theory.derive.operator`) has two terms of rank one: with
:math:`a=\kappa'[\Sigma]=\operatorname{tr}[sc^2]/(m-\mathrm{df}_2)`

.. math:: S_1=\frac{r^2+ar^2/s}{D},\qquad K_1=S_1\otimes\big(c^2+ar^2/s\big)+\frac{sc^2}{m-\mathrm{df}_2}\otimes\frac{r^2}s,

where :math:`D` are its residual degrees of freedom.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np

from collapse_theory.numerics.jets import Jet, counted, same, value_of, where
from collapse_theory.numerics.measure import Measure

__all__ = ["EqualFits", "OneFit", "RepeatedFit", "Spread", "repeated"]


@dataclass(frozen=True)
class Spread:
    """Mean and fluctuations of a fit, as functions on the nodes.

    Attributes:
        kept: What the mean keeps of the truth.
        lost: One minus it.
        target: What the target contributes to the fluctuations.
        noise: What the label noises contribute.
    """

    kept: Any
    lost: Any
    target: Any
    noise: Any

    def chosen(self, condition: Any, other: Spread) -> Spread:
        """Return this where the condition holds, and the other elsewhere."""
        return Spread(*(where(condition, a, b) for a, b in zip(self.functions, other.functions, strict=True)))

    @property
    def functions(self) -> tuple[Any, Any, Any, Any]:
        """The four functions."""
        return self.kept, self.lost, self.target, self.noise


class RepeatedFit(Protocol):
    """A fit labelled by one fit that nothing else sees."""

    @property
    def measure(self) -> Measure:
        """Nodes with counts and energies, shape (k,)."""

    @property
    def lost(self) -> Any:
        """What it loses of a mean, shape (..., k)."""

    def after(self, before: Spread, noise: Any) -> Spread:
        """Return the fit labelled by the given one; ``noise`` is the variance of its label noise, a scalar or a column."""

    def block(self) -> EqualFits:
        """Return the block of this fit alone."""


@dataclass(frozen=True)
class OneFit:
    """A fit labelled by one fit that nothing else sees: ``K_1`` has rank one or two, so no matrix is needed.

    Attributes:
        measure: Nodes with counts and energies, shape (k,).
        kept: ``r = s/(s + kappa)``, shape (..., k).
        lost: ``c = kappa/(s + kappa)``.
        moves: The terms of ``K_1``: what each adds to the fluctuations, the first being ``S_1``, and what it is taken from.
    """

    measure: Measure
    kept: Any
    lost: Any
    moves: tuple[tuple[Any, Any], ...]

    @classmethod
    def of(cls, measure: Measure, kept: Any, lost: Any, residual: Any, left_over: Any = None) -> Self:
        """Return the fit.

        Args:
            measure: Nodes with counts and energies.
            kept: ``s/(s + kappa)``.
            lost: ``kappa/(s + kappa)``.
            residual: Residual degrees of freedom, a scalar or a column.
            left_over: Those of its features as rows; None if it sees the inputs.
        """
        shape, taken = kept**2, lost**2
        if left_over is None:
            return cls(measure, kept, lost, ((shape / residual, taken),))
        missed = measure.nodes * taken
        spread = missed / where(value_of(left_over) > 0, left_over, 1)  # as many features as directions miss nothing
        per = shape / measure.nodes
        drift = measure.trace(spread, column=True)
        own = ((shape + drift * per) / residual, taken + drift * per)
        return cls(measure, kept, lost, (own, (spread, per)))

    def after(self, before: Spread, noise: Any) -> Spread:
        """Return the fit labelled by the given one; ``noise`` is the variance of its label noise, a scalar or a column."""
        target, noises = self.kept**2 * before.target, self.kept**2 * before.noise + self.added * noise
        for added, taken in self.moves:
            signal = self.measure.form(self.measure.nodes * taken * before.kept**2, column=True)
            moved, moved_noise = (self.measure.trace(taken * f, column=True) for f in (before.target, before.noise))
            target = target + added * (signal + moved)
            noises = noises + added * moved_noise
        return Spread(self.kept * before.kept, self.kept * before.lost + self.lost, target, noises)

    @property
    def added(self) -> Any:
        """``S_1``, what its label noise adds."""
        return self.moves[0][0]

    def block(self) -> EqualFits:
        """Return the block of this fit alone."""
        outer = [added[..., :, None] * taken[..., None, :] for added, taken in self.moves]
        return EqualFits(self.measure, self.kept, self.lost, sum(outer[1:], outer[0]), self.added)


@dataclass(frozen=True)
class EqualFits:
    """A block of equal fits, each labelled by the one before.

    Attributes:
        measure: Nodes with counts and energies, shape (k,).
        kept: ``r**N``, shape (..., k).
        lost: One minus it.
        moved: ``K``, shape (..., k, k).
        added: ``S``, shape (..., k).
    """

    measure: Measure
    kept: Any
    lost: Any
    moved: Any
    added: Any

    def after(self, before: Spread, noise: Any) -> Spread:
        """Return the last fit of the block, the first being labelled by the given one.

        Args:
            before: The labeller.
            noise: Variance of each fit's label noise, a scalar or a column.
        """
        signal = self.measure.form(self.moved * (self.measure.nodes * before.kept**2)[..., None, :])
        return Spread(
            self.kept * before.kept,
            self.kept * before.lost + self.lost,
            self._carried(before.target) + signal,
            self._carried(before.noise) + self.added * noise,
        )

    def doubled(self) -> Self:
        """Return the block of twice as many fits."""
        lost, square = self.lost + self.kept * self.lost, self.kept**2
        kept = where(value_of(self.lost) < 0.5, 1 - lost, square)
        counted = self.measure.counts[:, None] * self.moved
        moved = self.moved @ counted + square[..., :, None] * self.moved + self.moved * square[..., None, :]
        return type(self)(self.measure, kept, lost, moved, self.added + self._carried(self.added))

    def repeated(self, before: Spread, noise: Any, blocks: np.ndarray) -> Spread:
        """Return the last fit of a number of blocks.

        Where doubling a block no longer changes what its fits add, no power of the operator beyond it has a part left in any
        function: for a matrix of non-negative entries and a positive vector :math:`S`, the largest ratio in :math:`PS/S` bounds
        the spectral radius.

        Args:
            before: The labeller of the first fit.
            noise: Variance of each fit's label noise, a scalar or a column.
            blocks: Numbers of blocks as floats, shape () or (n, 1).
        """
        block, state = self, before
        while True:
            blocks, odd = np.divmod(blocks, 2)
            if odd.any():
                state = block.after(state, noise).chosen(odd == 1, state)
            if not blocks.any():
                return state
            twice = block.doubled()
            if same(twice.added, block.added) and same(twice.lost, block.lost):
                return block.after(state, noise).chosen(blocks > 0, state)
            block = twice

    def _carried(self, f: Any) -> Any:
        return self.kept**2 * f + self.measure.trace(self.moved * f[..., None, :])


def _few(measure: Measure) -> int:
    """Return how many fits, run one by one, cost about what doubling a block a few times does, and at least a handful."""
    nodes = measure.size
    return max(32, nodes**2 if measure.nodes.dtype == object else nodes**3 >> 14)  # matrix products of float64 are fast


def repeated(fit: RepeatedFit, before: Spread, noise: Any, count: Any) -> Spread:
    """Return the last of ``count`` equal fits, each labelled by the one before.

    Args:
        fit: One of them.
        before: The labeller of the first.
        noise: Variance of each fit's label noise, a scalar or a column.
        count: How many, a scalar or a column.
    """
    repeats, state = counted(count), before
    # A fit that loses nothing adds its noise, and nothing else happens: many add it many times.
    faithful = np.logical_and(value_of(fit.lost) == 0, _slope(fit.lost) == 0).all(axis=-1, keepdims=True)
    noise = where(faithful, repeats * noise, noise) if faithful.any() else noise
    repeats = np.where(faithful, np.minimum(repeats, 1), repeats)
    few = np.minimum(repeats, _few(fit.measure))
    for i in range(int(few.max())):
        live = few > i
        after = fit.after(state, noise)
        after = after if live.all() else after.chosen(live, state)
        if all(map(same, after.functions, state.functions)):  # one more fit changes nothing
            return state
        state = after
    return fit.block().repeated(state, noise, repeats - few) if (repeats > few).any() else state


def _slope(x: Any) -> Any:
    return x.slope if isinstance(x, Jet) else 0
