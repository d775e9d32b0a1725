r"""One scalar calculus for every family whose fits are averages: the covariance of all fits of a pipeline.

Sample ``i`` has the statistic ``f_i`` (token frequencies, row average, ...). Given everything drawn before it,

``E f_i = q_i = sum_k c_k theta_k``   (its labellers),   ``Cov f_i = (r_i / T_i) * shape``,

and fit ``k`` is ``theta_k = sum_i alpha_ki f_i`` with ``alpha_i = a_i T_i / sum_j a_j T_j``. Labellers are themselves
averages of earlier samples, so every node is a known combination of samples, and one forward substitution over the DAG
gives the covariances ``S_ij`` of the samples in units of the shape: ``S_i,<i = b_i S_<i,<i``, where ``q_i = b_i f``,
and ``S_ii = b_i S b_i + r_i / T_i``. The covariances of the fits are ``c = A S A^T``, ``A`` the pooling weights.

Families differ only in the row variance ``r_i`` (:class:`RowLaw`). ``s_i`` below is the factor of the expected second
moment of the rows around the true mean and ``v_k = s_k - c_kk`` that of the variance of model ``k``.

The same code runs on float64 arrays and on exact fractions of polynomials: only the scalars change.

Source: the recursions of replace and accumulate, Seddik et al. 2024, Gerstgrasser et al. 2024, Kazdan et al. 2024; one
substitution for every pipeline is ours.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sympy import Expr, Float, ImmutableMatrix, Rational, S
from sympy.polys.constructor import construct_domain

from collapse_theory.describe.pipeline import Fit, OneOf, Pipeline, Sample, Truth

__all__ = ["EXACT_SAMPLES", "Moments", "RowLaw", "moments"]

EXACT_SAMPLES = 64
"""Pipelines of rational numbers up to this many samples are solved in exact fractions, larger ones in float64."""


class RowLaw(enum.Enum):
    """How the variance of one row depends on the model that it is drawn from."""

    CONSTANT = "constant"
    """``r = 1``: regular parametric models, to leading order in 1/T."""
    TOKENS = "tokens"
    """``r = 1 - Var q``: one-hot rows. A mixture of models is the model with the averaged probabilities."""
    GAUSSIAN = "gaussian"
    """``r = s_q - Var q`` for densities mixed row by row, ``r = sum c_k v_k`` for averaged parameters."""


@dataclass(frozen=True)
class Moments:
    """Second moments of all fits of a pipeline.

    Attributes:
        covariances: Matrix ``c_ab`` over the fits: float64 array, or exact SymPy matrix.
        factors: ``v_k``, the factor of the expected variance of model ``k`` (meaningful for tokens and Gaussians).
    """

    covariances: np.ndarray | ImmutableMatrix
    factors: tuple[Any, ...]

    @property
    def exact(self) -> bool:
        """Whether the entries are exact expressions."""
        return not isinstance(self.covariances, np.ndarray)


@dataclass(frozen=True)
class _Scalars:
    """The numbers a substitution runs on: where they come from, their zero and one, and how they are stored."""

    read: Callable[[Expr], Any]
    show: Callable[[Any], Any]
    zero: Any
    one: Any
    dtype: type


def moments(pipeline: Pipeline, law: RowLaw, *, exact: bool | None = None) -> Moments:
    r"""Return the covariances of all fits by forward substitution over the DAG.

    Args:
        pipeline: Its rows, weights and source coefficients may be numbers or symbols; checked by the family.
        law: Row variance of the family.
        exact: Exact fractions instead of float64. None: exact if a symbol is free, or if every number is rational and
            there are at most ``EXACT_SAMPLES`` samples.

    >>> from collapse_theory.describe import workflows
    >>> from collapse_theory.describe.pipeline import Stage
    >>> moments(workflows.accumulate(2, Stage(T=10)), RowLaw.CONSTANT).covariances
    Matrix([
    [1/10, 1/10],
    [1/10,  1/8]])
    """
    parameters = list(dict.fromkeys(pipeline.parameters()))
    if exact is None:
        rational = all(e.is_Rational for e in parameters)
        exact = not all(e.is_number for e in parameters) or (rational and len(pipeline.samples) <= EXACT_SAMPLES)
    scalars = _fractions(parameters) if exact else _floats()
    state = _Substitution(pipeline, law, scalars)
    weights, samples = state.pooling, state.between
    c = weights @ samples @ weights.T
    factors = tuple(scalars.show(state.second_fit[k] - c[k, k]) for k in range(len(c)))
    if not exact:
        return Moments((c + c.T) / 2, factors)
    return Moments(ImmutableMatrix(*c.shape, [scalars.show(x) for x in c.flat]), factors)


class _Substitution:
    """Forward substitution: after construction, ``between`` are the sample covariances, ``pooling`` the fit weights."""

    def __init__(self, pipeline: Pipeline, law: RowLaw, scalars: _Scalars) -> None:
        self.law, self.x = law, scalars
        n, size = len(pipeline.samples), len(pipeline.fits)
        self.rows = self._array([scalars.read(s.T) for s in pipeline.samples])
        self.between = self._zeros((n, n))
        self.pooling = self._zeros((size, n))
        self.second = self._zeros(n)
        self.second_fit = self._zeros(size)
        fits = iter(pipeline.fits)
        done = 0
        for s in pipeline.samples:
            newest = max((f.index for f in s.labellers if isinstance(f, Fit)), default=-1)
            while done <= newest:
                self._fit(next(fits))
                done += 1
            self._sample(s)
        for f in fits:
            self._fit(f)

    def _zeros(self, shape: int | tuple[int, ...]) -> np.ndarray:
        return np.full(shape, self.x.zero, dtype=self.x.dtype)

    def _array(self, values: list[Any]) -> np.ndarray:
        out = self._zeros(len(values))
        for i, value in enumerate(values):
            out[i] = value
        return out

    def _share(self, samples: Iterable[Sample], weights: Iterable[Expr]) -> tuple[np.ndarray, np.ndarray]:
        """Return positions of the samples and their shares ``a_i T_i / sum_j a_j T_j``."""
        at = np.array([s.index for s in samples])
        size = self.rows[at]
        if not all(a is S.One for a in weights):
            size = size * self._array([self.x.read(a) for a in weights])
        return at, size / size.sum()

    def _fit(self, fit: Fit) -> None:
        at, share = self._share(fit.samples, fit.weights)
        self.pooling[fit.index, at] = share
        self.second_fit[fit.index] = share @ self.second[at]

    def _sample(self, s: Sample) -> None:
        i, one, zero = s.index, self.x.one, self.x.zero
        second, averaged = one, None
        direction = self._zeros(i)
        if s.pool:
            at, share = self._share(s.pool, (S.One,) * len(s.pool))
            direction[at] = share
            second = share @ self.second[at]
        else:
            labellers = self._labellers(s)
            fits = [(labeller.index, c) for labeller, c in labellers if isinstance(labeller, Fit)]
            if fits:
                at = np.array([place for place, _ in fits])
                direction = self._array([c for _, c in fits]) @ _rows(self.pooling, at, i)
            second = sum(
                (
                    c * (one if isinstance(labeller, Truth) else self.second_fit[labeller.index])
                    for labeller, c in labellers
                ),
                zero,
            )
            averaged = labellers if len(labellers) > 1 and not isinstance(s.source, OneOf) else None
        active = np.flatnonzero(direction != zero)
        row = direction[active] @ _rows(self.between, active, i) if len(active) else self._zeros(i)
        spread = row[active] @ direction[active] if len(active) else zero
        r = self._row_variance(second, spread, averaged)
        self.between[i, :i] = row
        self.between[:i, i] = row
        self.between[i, i] = spread + r * self._divisor(s)
        self.second[i] = second if averaged is None or self.law is not RowLaw.GAUSSIAN else r + spread

    def _labellers(self, s: Sample) -> list[tuple[Truth | Fit, Any]]:
        """Return the labellers with their shares; those of ``one_of`` are counts over their number."""
        if isinstance(s.source, OneOf):
            each = self.x.one / self.x.read(S(len(s.source.labellers)))
            return [(labeller, each) for labeller in s.source.labellers]
        return [(labeller, self.x.read(c)) for labeller, c in s.resolved.signal]

    def _row_variance(self, second: Any, spread: Any, averaged: list[tuple[Truth | Fit, Any]] | None) -> Any:
        if self.law is RowLaw.CONSTANT:
            return self.x.one
        if averaged is None or self.law is RowLaw.TOKENS:
            return second - spread
        variance = self.x.zero
        for labeller, c in averaged:
            variance += c * (self.x.one if isinstance(labeller, Truth) else self._factor(labeller))
        return variance

    def _factor(self, labeller: Fit) -> Any:
        a = self.pooling[labeller.index]
        return self.second_fit[labeller.index] - a @ self.between @ a

    def _divisor(self, s: Sample) -> Any:
        """Return ``1/T``, for T of N rows without replacement ``(N-T)/(T(N-1))`` (``1/T - 1/N`` to leading order)."""
        T = self.rows[s.index]
        if not s.pool:
            return self.x.one / T
        N = self.rows[[p.index for p in s.pool]].sum()
        if N == T:
            return self.x.zero
        return (N - T) / (T * (N if self.law is RowLaw.CONSTANT else N - self.x.one))


def _rows(matrix: np.ndarray, at: np.ndarray, width: int) -> np.ndarray:
    """Return the first columns of some rows, without a copy where the rows are consecutive (most are)."""
    if len(at) == at[-1] - at[0] + 1 and (np.diff(at) == 1).all():
        return matrix[at[0] : at[-1] + 1, :width]
    return matrix[at, :width]


def _floats() -> _Scalars:
    return _Scalars(read=float, show=float, zero=0.0, one=1.0, dtype=float)


def _fractions(parameters: list[Expr]) -> _Scalars:
    """Return exact scalars: fractions of polynomials in the parameters' symbols; floats by binary value."""
    rational = [_rationalised(e) for e in parameters]
    domain, _ = construct_domain([*rational, S.Half], field=True)
    return _Scalars(
        read=lambda e: domain.from_sympy(_rationalised(e)),
        show=domain.to_sympy,
        zero=domain.zero,
        one=domain.one,
        dtype=object,
    )


def _rationalised(e: Expr) -> Expr:
    return e.xreplace({x: Rational(x) for x in e.atoms(Float)}) if e.has(Float) else e
