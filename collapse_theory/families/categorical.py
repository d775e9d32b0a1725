r"""Token distributions: the fit is the vector of (weighted) empirical frequencies. Exact for every pipeline.

``Cov(p_a, p_b) = c_ab (diag p - p p^T)`` with ``c`` of :mod:`~collapse_theory.families.calculus`, hence

``E|p_k - p|^2 = c_kk (1 - sum p^2)`` and the diversity ``E[1 - sum p_k^2] = (1 - c_kk)(1 - sum p^2)``.

What depends on more than two moments (collapse, survival) is taken from the law of a single token's count.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
from sympy import Expr, Float, Rational, S

from collapse_theory.core.errors import DomainError, PipelineError, shown
from collapse_theory.core.numbers import flag, integer, real_array
from collapse_theory.derive.formula import Regime
from collapse_theory.describe.pipeline import Fit, Pipeline
from collapse_theory.families.averaging import Averaging
from collapse_theory.families.calculus import RowLaw
from collapse_theory.families.collapse_rates import CollapseRates
from collapse_theory.families.resampling import (
    expected_survivors,
    generation_numbers,
    like,
    row_number,
    sum_over_tokens,
)
from collapse_theory.families.sampling import Run, TokenSampler, numeric
from collapse_theory.families.token_errors import Bracket, certain, distinct_tokens, total_variation
from collapse_theory.families.vocabulary import TokenGroups, group
from collapse_theory.families.wright_fisher import chain
from collapse_theory.simulate.trial import Setting, Trial

__all__ = ["Categorical"]

_SUM_TOLERANCE = 1e-9
_STEPWISE = 10**7  # generations of a recursion that is not squared


@dataclass(frozen=True, eq=False, repr=False)
class Categorical(Averaging):
    """A distribution over tokens, fitted by empirical frequencies.

    Args:
        p: Token probabilities, non-negative, summing to one.
        relative: Give the squared error in units of the diversity ``1 - sum p^2``, where it does not depend on ``p``.

    Raises:
        DomainError: If a probability is negative or they do not sum to one.

    >>> fam = Categorical([0.5, 0.3, 0.15, 0.05])
    >>> round(fam.total_collapse_probability(T=20, generations=20), 9)
    0.401128789
    """

    p: Any
    relative: bool = False
    gini: Expr = field(init=False)
    """``1 - sum p^2``, the diversity of the truth."""

    name: ClassVar[str] = "Categorical"
    quantity: ClassVar[str] = r"expected error $E=\mathbb{E}\|\hat p-p\|^2$ (in units of $1-\sum p^2$ if relative)"
    law: ClassVar[RowLaw] = RowLaw.TOKENS
    regime: ClassVar[Regime] = "exact"
    references: ClassVar[tuple[str, ...]] = ("seddik2024synthetic", "suresh2024rate")
    convex: ClassVar[bool] = True
    measures: ClassVar[tuple[str, ...]] = ("test error", "diversity", "total variation", "distinct tokens")

    def __post_init__(self) -> None:
        """Check that ``p`` is a distribution."""
        given = list(self.p) if isinstance(self.p, Sequence) and not isinstance(self.p, str | bytes) else self.p
        p = real_array(given, "p", nonnegative=True)
        flag(self.relative, "relative")
        total = math.fsum(p)
        if abs(total - 1) > _SUM_TOLERANCE:
            raise DomainError(
                f"p needs to sum to 1, got probabilities that sum to {total:.12g}; divide them by their sum"
            )
        object.__setattr__(self, "p", p)
        object.__setattr__(self, "gini", _gini(given, p))
        if self.relative and self.gini == 0:
            raise DomainError("relative needs two tokens of positive probability, got one; its diversity is 0")

    def __repr__(self) -> str:
        return f"Categorical({len(self.p)} tokens)"

    # ------------------------------------------------------------------ second moments
    def error_terms(self, pipeline: Pipeline, model: Fit) -> Mapping[str, Expr]:
        """Return ``E|p_hat - p|^2 = c (1 - sum p^2)`` of a fit; unbiased, so all of it is variance."""
        c = S(self.moments(pipeline).covariances[model.index, model.index])
        return {"bias": S.Zero, "variance": c if self.relative else c * self.gini}

    def trial(self, pipeline: Pipeline, model: Fit, setting: Setting) -> Trial:
        """Return one simulated squared error ``|p_hat - p|^2``, or what else is measured, as a function of the generator."""
        self.check(pipeline)
        scale = 1 / float(self.gini) if self.relative else 1.0
        sampler = TokenSampler(self.p / self.p.sum(), setting.measured)
        return Run(numeric(pipeline, setting), model.index, sampler, scale if setting.measured == "test error" else 1.0)

    def _expected(self, pipeline: Pipeline, model: Fit, measured: str) -> Bracket:
        match measured:
            case "diversity":
                return certain(self.diversity(pipeline, model), "covariance calculus")
            case "total variation":
                return self.total_variation(pipeline, model)
            case "distinct tokens":
                return self.distinct_tokens(pipeline, model)
            case _:
                return super()._expected(pipeline, model, measured)

    def diversity(self, pipeline: Pipeline, model: Fit | None = None) -> float:
        """Return ``E[1 - sum p_hat^2] = (1 - c)(1 - sum p^2)``: the chance that two tokens of the model differ.

        Args:
            pipeline: Numeric.
            model: The tested fit; None is the last.

        Raises:
            PipelineError: If the pipeline means nothing for tokens or has free symbols.
        """
        self._numeric(pipeline)
        k = pipeline.model(model).index
        return float((1 - self.moments(pipeline, exact=False).covariances[k, k]) * self.gini)

    def total_variation(self, pipeline: Pipeline, model: Fit | None = None) -> Bracket:
        """Return the expected total variation distance of a model from the truth: exact, or a lower and an upper bound.

        Args:
            pipeline: Numeric.
            model: The tested fit; None is the last.

        Raises:
            PipelineError: If the pipeline means nothing for tokens or has free symbols.
        """
        self._numeric(pipeline)
        return total_variation(pipeline, pipeline.model(model), self.p)

    def distinct_tokens(self, pipeline: Pipeline, model: Fit | None = None) -> Bracket:
        """Return the expected number of tokens that a model of any pipeline still gives: exact, or two bounds.

        Args:
            pipeline: Numeric.
            model: The tested fit; None is the last.

        Raises:
            PipelineError: If the pipeline means nothing for tokens or has free symbols.
        """
        self._numeric(pipeline)
        return distinct_tokens(pipeline, pipeline.model(model), self.p)

    def _numeric(self, pipeline: Pipeline) -> None:
        self.check(pipeline)
        if pipeline.free_symbols:
            names = ", ".join(sorted(map(str, pipeline.free_symbols)))
            raise PipelineError(f"this quantity needs numbers throughout, got free symbols {names}; substitute values")

    # ------------------------------------------------------------------ collapse under replacement
    def total_collapse_probability(self, T: int, generations: Any) -> Any:
        r"""Return the probability that one token has taken all ``T`` rows by resampling ``generations``.

        ``sum_k Pr(count of token k is T)``, from the (T+1)-state chain of each different token.

        Args:
            T: Rows of each resampling, >= 1.
            generations: Number of resamplings, the first one from the truth, >= 0; may be an array.

        Returns:
            A float, or an array of the shape of ``generations``.

        Raises:
            DomainError: If an argument is out of range.
        """
        c = chain(row_number(T))
        at_zero = float((self.p == 1).any())
        return sum_over_tokens(group(self.p), c, (c.states == c.T).astype(float), generations, at_zero)

    def collapse_time_probability(self, T: int, generations: Any) -> Any:
        """Return ``Pr(total collapse happens exactly at that resampling)``; the increments of the collapse curve.

        >>> round(float(Categorical([0.5, 0.5]).collapse_time_probability(T=2, generations=2)), 6)
        0.25
        """
        n = generation_numbers(generations)
        before = self.total_collapse_probability(T, np.maximum(n - 1, 0))
        return like(n, np.where(n > 0, np.asarray(self.total_collapse_probability(T, n)) - before, before))

    def mean_collapse_time(self, T: int) -> float:
        r"""Return the expected number of resamplings until total collapse.

        ``sum_k E w(Bin(T, p_k))`` with ``(I - P) w = j/T`` on the interior counts, plus the first resampling: the
        excess of ``j/T``, the chance that the token wins in the end, over the chance that it has won, summed over
        generations.

        Raises:
            DomainError: If ``T`` < 1.

        >>> round(Categorical([0.5, 0.5]).mean_collapse_time(T=2), 12)
        2.0
        """
        if (self.p == 1).any():
            return 0.0
        c, groups = chain(row_number(T)), group(self.p)
        inside = (c.states > 0) & (c.states < c.T)
        w = np.zeros(len(c.states))
        if inside.any():
            step = c.step if isinstance(c.step, np.ndarray) else c.step.toarray()
            step = step[np.ix_(inside, inside)]
            w[inside] = np.linalg.solve(np.eye(len(step)) - step, c.states[inside] / c.T)
        return 1.0 + float(groups.weights @ (c.start(groups.p) @ w))

    def expected_survivors(self, T: int, generations: Any) -> Any:
        """Return the expected number of tokens that still occur after that many resamplings of ``T`` rows.

        Args:
            T: Rows of each resampling, >= 1.
            generations: Number of resamplings, >= 0; may be an array.

        Raises:
            DomainError: If an argument is out of range.
        """
        return expected_survivors(self.p, T, generations)

    def survival_probability(self, token: int, T: int, generations: Any) -> Any:
        """Return the probability that ``token`` (its position in ``p``) occurs in the sample of that resampling.

        Raises:
            DomainError: If an argument is out of range.
        """
        p = self._probability(token)
        c = chain(row_number(T))
        one = TokenGroups(np.array([p]), np.ones(1), exact=True)
        return sum_over_tokens(one, c, (c.states > 0).astype(float), generations, float(p > 0))

    def survival_lower_bound(self, token: int, T: int, generations: Any) -> Any:
        r"""Return the lower bound ``1 - exp(-T p g_n)``, ``g_{k+1} = 1 - exp(-g_k)``, ``g_0 = oo``, on the survival.

        Exact if the counts are Poisson instead of binomial (Suresh, Thangaraj, Khandavally 2024).

        Raises:
            DomainError: If an argument is out of range.

        >>> fam = Categorical([0.9, 0.1])
        >>> fam.survival_lower_bound(1, T=10, generations=5) <= fam.survival_probability(1, T=10, generations=5)
        True
        """
        p, T, n = self._probability(token), row_number(T), generation_numbers(generations)
        if n.max(initial=0) > _STEPWISE:
            raise DomainError(
                f"generations needs to be <= {_STEPWISE} here, got {shown(generations)}; the bound steps through"
            )
        g = np.ones(max(int(n.max(initial=0)), 1) + 1)
        g[0] = np.inf
        for k in range(1, len(g)):
            g[k] = -np.expm1(-g[k - 1])
        mean = T * p * g[n] if p > 0 else np.zeros(n.shape)
        return like(n, -np.expm1(-mean))

    def collapse_rates(self) -> CollapseRates:
        """Return the rates of collapse under replacement, exponential in generations, in symbolic ``T``."""
        return CollapseRates.of(self.p)

    # ------------------------------------------------------------------ helpers
    def _probability(self, token: Any) -> float:
        remedy = "give a position in p"
        return float(self.p[integer(token, "token", least=0, most=len(self.p) - 1, remedy=remedy)])


def _gini(given: Any, p: np.ndarray) -> Expr:
    """Return ``1 - sum p^2``, exact if every probability was given as a rational number."""
    if isinstance(given, list) and all(
        isinstance(x, (int, Fraction)) or getattr(x, "is_Rational", False) for x in given
    ):
        exact = [Rational(x.numerator, x.denominator) if isinstance(x, Fraction) else S(x) for x in given]
        return 1 - sum((x**2 for x in exact), S.Zero)
    return Float(math.fsum(p * (1 - p)))
