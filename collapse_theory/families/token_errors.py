r"""Total variation and distinct tokens of a model in any pipeline: exact where a finite sum exists, else named bounds.

Exact sums: de Moivre's mean deviation for a clean fit, the Wright-Fisher chain for replace, the elimination of
:mod:`~collapse_theory.families.token_law` (what it leaves out is below
1e-9) up to some 10^4 rows of one or two samples, and binomial survival where all rows descend from real
samples that the model still pools. Otherwise, with the variance ``c`` of the model, and its covariance ``g`` with a real
sample R of variance ``1/T_R``:

``sum_k max[ c p(1-p)/max(p, 1-p),  max_R (g T_R) E|Bin(T_R,p)/T_R - p| ] / 2  <=  E TV  <=  sum_k sqrt(c p(1-p)) / 2``.

Above: Jensen. Below: ``|p_hat - p| <= max(p, 1-p)``, and the mean of the model given R alone, which is linear in R.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from collapse_theory.describe.pipeline import Fit, OneOf, Pipeline, Sample, Source, Truth
from collapse_theory.families.binomial import mean_absolute_deviation
from collapse_theory.families.calculus import RowLaw, moments
from collapse_theory.families.resampling import expected_survivors
from collapse_theory.families.token_law import MAX_WORK, mean_deviation, survival
from collapse_theory.families.wright_fisher import EXACT_ROWS, chain

__all__ = ["Bracket", "certain", "distinct_tokens", "total_variation", "total_variations"]

_CHAIN_WORK = 2e9


@dataclass(frozen=True)
class Bracket:
    """An expectation: exact, or between two bounds.

    Attributes:
        lower: Lower bound; the value itself if exact.
        upper: Upper bound; the value itself if exact.
        leading_order: The value for Gaussian fluctuations (common tokens, large samples); nan where there is none.
        method: Where it comes from.
    """

    lower: float
    upper: float
    leading_order: float
    method: str

    @property
    def exact(self) -> bool:
        """Whether the value is exact."""
        return self.lower == self.upper

    @property
    def value(self) -> float:
        """The exact value, else the leading-order value clipped to the bounds."""
        return self.lower if self.exact else min(max(self.leading_order, self.lower), self.upper)


def certain(value: float, method: str) -> Bracket:
    """Return an exact value.

    >>> certain(0.5, "counted").exact
    True
    """
    return Bracket(value, value, value, method)


def total_variation(pipeline: Pipeline, model: Fit, p: np.ndarray, max_work: float = MAX_WORK) -> Bracket:
    """Return ``E |p_hat - p|_1 / 2`` of a numeric pipeline that the family has checked.

    >>> pipe = Pipeline(); m = pipe.fit(pipe.sample(T=2))
    >>> found = total_variation(pipe, m, np.array([0.5, 0.5]))
    >>> round(found.value, 12), found.exact, found.method
    (0.25, True, 'binomial deviation')
    """
    return total_variations(pipeline, [model], p, max_work)[0]


def total_variations(
    pipeline: Pipeline, models: Sequence[Fit], p: np.ndarray, max_work: float = MAX_WORK
) -> list[Bracket]:
    """Return the same of several models; those that the last one descends from cost little more than the last."""
    x, count = np.unique(p[p > 0], return_counts=True)
    found = {m: _chain_deviation(m, x) for m in models}
    others = [m for m in models if found[m] is None]
    if others:
        for m, deviation in zip(others, mean_deviation(pipeline, others, x, max_work), strict=True):
            found[m] = None if deviation is None else (deviation, "elimination")
    return [_bracket(pipeline, m, x, count, found[m]) for m in models]


def _bracket(
    pipeline: Pipeline, model: Fit, x: np.ndarray, count: np.ndarray, found: tuple[np.ndarray, str] | None
) -> Bracket:
    """Return half the sum of ``E |p_hat - p|`` over tokens: the one found, else its bounds."""
    c, links = _variance_and_links(pipeline, model)
    spread = np.sqrt(c * x * (1 - x))
    leading = float(count @ spread) * float(np.sqrt(2 / np.pi)) / 2
    if found is not None:
        value = float(count @ found[0]) / 2
        return Bracket(value, value, leading, found[1])
    below = c * x * (1 - x) / np.maximum(x, 1 - x)
    for weight, rows in links:
        below = np.maximum(below, weight * mean_absolute_deviation(rows, x))
    return Bracket(float(count @ below) / 2, float(count @ spread) / 2, leading, "bounds")


def distinct_tokens(pipeline: Pipeline, model: Fit, p: np.ndarray, max_work: float = MAX_WORK) -> Bracket:
    """Return the expected number of tokens with positive frequency in the model, of a numeric checked pipeline.

    The bounds, where no exact sum exists: at least the tokens of the real samples that the model pools, at most all.
    """
    positive = p[p > 0]
    roots, whole = _support(model)
    real_rows = sum(int(s.T) for s in roots)
    if whole:
        value = _survivors(positive, real_rows)
        return certain(value, "descendants of real samples")
    walk = _equal_chain(model)
    if walk is not None:
        value = float(expected_survivors(p, *walk))
        return certain(value, "Wright-Fisher chain")
    x, count = np.unique(positive, return_counts=True)
    chances = survival(pipeline, model, x, max_work)
    if chances is not None:
        value = float(count @ chances)
        return certain(value, "elimination")
    return Bracket(_survivors(positive, real_rows), float(len(positive)), float("nan"), "bounds")


def _survivors(p: np.ndarray, rows: int) -> float:
    """Return the expected number of tokens in ``rows`` real rows."""
    with np.errstate(divide="ignore"):  # a token of probability 1 survives: log 0 = -oo
        return float(-np.expm1(rows * np.log1p(-p)).sum()) if rows else 0.0


def _chain_deviation(model: Fit, x: np.ndarray) -> tuple[np.ndarray, str] | None:
    """Return ``E |p_hat - p|`` of each token at the end of a chain of equal fits, if it is short enough."""
    walk = _equal_chain(model)
    if walk is None:
        return None
    T, fits = walk
    if fits == 1:
        return mean_absolute_deviation(T, x), "binomial deviation"
    if T > EXACT_ROWS or fits * len(x) * T**1.5 > _CHAIN_WORK:
        return None
    c = chain(T)
    counts = c.start(x).toarray().T
    transposed = c.step.T
    for _ in range(fits - 1):
        counts = transposed @ counts
    return (np.abs(c.states[:, None] / T - x) * counts).sum(axis=0), "Wright-Fisher chain"


def _equal_chain(model: Fit) -> tuple[int, int] | None:
    """Return (T, fits) if the model ends a chain of fits on one sample of T rows each, else None."""
    fit: Truth | Fit = model
    rows = []
    while isinstance(fit, Fit):
        s = fit.samples[0]
        if len(fit.samples) > 1 or s.pool or isinstance(s.source, OneOf) or len(s.labellers) != 1:
            return None
        rows.append(int(s.T))
        fit = s.labellers[0]
    return (rows[0], len(rows)) if len(set(rows)) == 1 else None


def _variance_and_links(pipeline: Pipeline, model: Fit) -> tuple[float, list[tuple[float, int]]]:
    """Return ``c`` of the model and, for each real sample, (coefficient of the model's mean given it, rows)."""
    scratch = pipeline.replaced({})
    real = [s for s in scratch.samples if not s.pool and s.labellers and _is_real(s)]
    first = len(scratch.fits)
    for s in real:
        scratch.fit(s)
    c = np.asarray(moments(scratch, RowLaw.TOKENS, exact=False).covariances)
    links = [(float(c[model.index, first + i]) * float(s.T), int(s.T)) for i, s in enumerate(real)]
    return float(c[model.index, model.index]), [link for link in links if link[0] > 0]


def _is_real(s: Sample) -> bool:
    return isinstance(s.source, Source) and all(isinstance(labeller, Truth) for labeller in s.labellers)


def _support(fit: Fit) -> tuple[list[Sample], bool]:
    """Return the real samples that the fit pools, and whether every other row of it repeats a token of theirs."""
    pooled = [s for s, a in zip(fit.samples, fit.weights, strict=True) if a != 0]
    real = [s for s in pooled if not s.pool and _is_real(s)]
    known = {s.index for s in real}
    whole = bool(real) and all(_descends(s, known) for s in pooled)
    return real, whole


def _descends(s: Sample, known: set[int]) -> bool:
    """Whether every row of ``s`` is drawn, through any number of models, from rows of the known samples."""
    seen: set[int] = set()
    todo = [s]
    while todo:
        x = todo.pop()
        if x.index in known or x.index in seen:
            continue
        seen.add(x.index)
        if x.pool:
            todo += x.pool
            continue
        for labeller in x.labellers:
            if not isinstance(labeller, Fit):
                return False
            todo += labeller.samples
    return True
