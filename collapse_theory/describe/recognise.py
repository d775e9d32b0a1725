"""Structural questions about a pipeline: is it a chain, does it accumulate, does it live on one design.

A combination of fits has none of these structures, whatever its fits have.
"""

from __future__ import annotations

from dataclasses import dataclass

from sympy import Expr

from collapse_theory.describe.pipeline import TRUTH, Features, Fit, Labels, OneOf, Pipeline, Sample, Source, Truth

__all__ = [
    "Increment",
    "chain",
    "filtered_chain",
    "has_filter",
    "increments",
    "is_least_squares",
    "is_ridge",
    "one_design",
    "one_labeller_each",
    "own_inputs",
    "sole_labeller",
]


def sole_labeller(sample: Sample) -> Truth | Fit | None:
    """Return the labeller of a sample labelled by one model as it is, else None."""
    if isinstance(sample.source, OneOf) or len(sample.source.coefficients) != 1 or sample.pool:
        return None
    labeller, coefficient = sample.source.coefficients[0]
    return labeller if coefficient == 1 and not isinstance(labeller, Labels) else None


def is_least_squares(fits: tuple[Fit, ...]) -> bool:
    """Return whether every fit sees the inputs themselves and has no ridge."""
    return is_ridge(fits) and all(f.ridge is None or f.ridge.is_zero for f in fits)


def has_filter(fits: tuple[Fit, ...]) -> bool:
    """Return whether a fit is stopped early."""
    return any(f.filter is not None for f in fits)


def is_ridge(fits: tuple[Fit, ...]) -> bool:
    """Return whether every fit is a ridge regression, or least squares, on the inputs themselves, for one task."""
    return all(f.features is None for f in fits) and _is_penalised(fits)


def _is_penalised(fits: tuple[Fit, ...]) -> bool:
    """Return whether every fit has a ridge or none, for one task."""
    return all(f.filter is None and not _other_tasks(s) for f in fits for s in f.samples)


def _other_tasks(sample: Sample) -> bool:
    return any(isinstance(x, Truth) and x != TRUTH for x in sample.labellers)


def chain(pipeline: Pipeline, model: Fit | Source) -> tuple[Fit, ...] | None:
    """Return the fits from the first to ``model`` if each has one fresh sample of its own, labelled by the fit before.

    Fits may see random features, of their own each.

    >>> from collapse_theory.describe.workflows import accumulate, replace
    >>> from collapse_theory.describe.pipeline import Stage
    >>> pipe = replace(2, Stage(T=9), Stage(T=9))
    >>> [f.name for f in chain(pipe, pipe.fits[-1])]
    ['m1', 'm2', 'm3']
    >>> pipe = accumulate(2, Stage(T=9))
    >>> chain(pipe, pipe.fits[-1]) is None
    True
    """
    fits = pipeline.ancestors(model)
    own = not isinstance(model, Source) and not any(isinstance(f.features, Features) for f in fits)
    return fits if own and _is_penalised(fits) and _linked(fits) else None


def filtered_chain(pipeline: Pipeline, model: Fit) -> tuple[Fit, ...] | None:
    """Return the fits from the first to ``model`` if they are a :func:`chain` of ridges and of other filters.

    >>> from collapse_theory.describe.filters import GradientFlow
    >>> from collapse_theory.describe.pipeline import Pipeline
    >>> pipe = Pipeline()
    >>> m = pipe.fit(pipe.sample(T=9), filter=GradientFlow(time=2))
    >>> len(filtered_chain(pipe, m)), chain(pipe, m)
    (1, None)
    """
    fits = pipeline.ancestors(model)
    return fits if all(f.features is None for f in fits) and _linked(fits) else None


def _linked(fits: tuple[Fit, ...]) -> bool:
    """Return whether each fit has one sample with inputs of its own, labelled by the fit before or first by the truth."""
    used: set[int] = set()
    expected: Truth | Fit = TRUTH
    for f in fits:
        if len(f.samples) != 1:
            return False
        s = f.samples[0]
        if s.covariance is not None or sole_labeller(s) != expected or s.inputs.index in used:
            return False
        used.add(s.inputs.index)
        expected = f
    return True


def one_labeller_each(pipeline: Pipeline, model: Fit | Source) -> tuple[Fit, ...] | None:
    """Return the fits from the first to ``model`` if each trains on inputs of its own, all labelled by the fit before.

    A chain whose fits may pool: rows of one labeller and one weight are one sample, whatever their noises.

    >>> from collapse_theory.describe.pipeline import Pipeline
    >>> pipe = Pipeline()
    >>> a, b = pipe.sample(T=5, noise=1), pipe.sample(T=9, noise=2)
    >>> m = pipe.fit([a, b])
    >>> len(one_labeller_each(pipe, m)), chain(pipe, m)
    (1, None)
    """
    fits = own_inputs(pipeline, model)
    if fits is None:
        return None
    before: tuple[Truth | Fit, ...] = (TRUTH, *fits[:-1])
    joined = all(sole_labeller(s) == labeller for f, labeller in zip(fits, before, strict=True) for s in f.samples)
    return fits if joined else None


def own_inputs(pipeline: Pipeline, model: Fit | Source) -> tuple[Fit, ...] | None:
    """Return the fits behind ``model`` if every sample has inputs of its own, used by one fit with equal row weights.

    >>> from collapse_theory.describe.workflows import fresh_real, keep_real
    >>> from collapse_theory.describe.pipeline import Stage
    >>> pipe = fresh_real(2, Stage(T=9), Stage(T=9))
    >>> len(own_inputs(pipe, pipe.fits[-1]))
    3
    >>> pipe = keep_real(2, Stage(T=9), Stage(T=9))
    >>> own_inputs(pipe, pipe.fits[-1]) is None
    True
    """
    fits = pipeline.ancestors(model)
    if isinstance(model, Source) or not is_ridge(fits):
        return None
    used: set[int] = set()
    for f in fits:
        if any(a != f.weights[0] for a in f.weights):
            return None
        for s in f.samples:
            if s.covariance is not None or s.pool or isinstance(s.source, OneOf) or s.relabelled:
                return None
            if s.inputs.index in used:
                return None
            used.add(s.inputs.index)
    return fits


@dataclass(frozen=True)
class Increment:
    """One step of a telescoping sequence of least-squares fits: ``H (w_k - w_{k-1}) = sum_new X_i^T eps_i``.

    Attributes:
        fit: The fit; ``H`` is the Gram matrix of all its rows.
        new: Its samples labelled by the fit before.
    """

    fit: Fit
    new: tuple[Sample, ...]

    @property
    def rows(self) -> Expr:
        """All rows of the fit."""
        return self.fit.N


def increments(pipeline: Pipeline, model: Fit | Source) -> tuple[Increment, ...] | None:
    """Return the telescoping steps that lead to ``model`` if its fits replace or accumulate, else None.

    Every fit must pool, with equal weights, samples with inputs of their own: new ones labelled by one earlier fit (or
    the truth), and either nothing else or exactly the samples of that earlier fit. Then the normal equations telescope.
    """
    steps: list[Increment] = []
    if isinstance(model, Source) or not is_ridge(pipeline.ancestors(model)):
        return None
    fit: Truth | Fit = model
    while isinstance(fit, Fit):
        if any(w != fit.weights[0] for w in fit.weights):
            return None
        if len({s.inputs.index for s in fit.samples}) < len(fit.samples) or any(s.covariance for s in fit.samples):
            return None
        labellers = [sole_labeller(s) for s in fit.samples]
        if any(labeller is None for labeller in labellers):
            return None
        before = max(
            (labeller for labeller in labellers if isinstance(labeller, Fit)),
            key=lambda labeller: labeller.index,
            default=TRUTH,
        )
        new = tuple(s for s, labeller in zip(fit.samples, labellers, strict=True) if labeller == before)
        rest = [s for s in fit.samples if s not in new]
        if rest and not (isinstance(before, Fit) and set(rest) == set(before.samples)):
            return None
        steps.append(Increment(fit, new))
        fit = before
    return tuple(reversed(steps))


def one_design(pipeline: Pipeline, model: Fit | Source) -> Sample | None:
    """Return the sample whose inputs all fits behind ``model`` use, if there is only one.

    A sample whose rows are labelled by a labeller drawn at random does not count: its labels are no linear combination.
    """
    fits = pipeline.ancestors(model)
    if isinstance(model, Source) or not is_ridge(fits):
        return None
    samples = [s for f in fits for s in f.samples]
    inputs = {s.inputs for s in samples}
    if len(inputs) != 1 or any(isinstance(s.source, OneOf) for s in samples):
        return None
    sample = inputs.pop()
    return None if sample.covariance or sample.pool else sample
