"""Linear regression: which derivation covers which pipeline."""

from __future__ import annotations

from sympy import Expr, Ge, Gt, S
from sympy.logic.boolalg import Boolean

from collapse_theory.core.arguments import choice
from collapse_theory.core.errors import PipelineError, shown
from collapse_theory.derive.exact import one_design_risk, own_inputs_risk, telescoped_risk
from collapse_theory.derive.family import Described
from collapse_theory.derive.filter_chain import filter_scalars
from collapse_theory.derive.formula import ErrorFormula
from collapse_theory.derive.labeller import pooled_stages
from collapse_theory.derive.labeller_scalars import chain_scalars, pooled_scalars
from collapse_theory.derive.operator import Generation
from collapse_theory.derive.pooled import Measured, pooled_system
from collapse_theory.derive.pooled_scalars import pipeline_scalars
from collapse_theory.describe.literals import without_literals
from collapse_theory.describe.pipeline import Features, Fit, Pipeline, Sample, Source, Truth
from collapse_theory.describe.recognise import (
    chain,
    filtered_chain,
    has_filter,
    increments,
    is_least_squares,
    is_ridge,
    one_design,
    own_inputs,
)

__all__ = ["excess_risk"]

_METHODS = ("auto", "exact", "operator", "free-probability")


def excess_risk(
    pipeline: Pipeline,
    model: Fit | Source | None = None,
    method: str = "auto",
    test_covariance: str | None = None,
    measured: Measured = "test error",
) -> ErrorFormula:
    """Return the excess risk of ``model`` as a derived formula, or what else is measured of it.

    Args:
        pipeline: The training procedure.
        model: The tested fit, or a linear combination of fits and the truth; default the last fit.
        method: "exact" (least squares), "operator" (inputs used by one fit each), "free-probability" (every linear
            pipeline), or "auto": the strongest that applies. Where fits pool several earlier fits, the exact error of more
            than six fits is written out only when it is asked for.
        test_covariance: Name of the covariance of the test inputs; None is the common one.
        measured: "test error", or of a fit "training error" or "cross-validation".

    Raises:
        PipelineError: If the method does not cover the pipeline.
    """
    tested = pipeline.tested(model)
    choice(method, "method", _METHODS)
    copy, fit, numbers = without_literals(pipeline, tested)
    derived = None
    stopped = has_filter(copy.ancestors(fit))
    if stopped:
        derived = _filters(copy, fit, tested, measured, test_covariance, method)
    elif test_covariance is not None:  # the other derivations measure the risk by the inputs' own covariance
        if method not in {"auto", "free-probability"}:
            raise PipelineError(f'test_covariance needs method="free-probability", got {shown(method)}; use "auto"')
        method = "free-probability"
    if not stopped and (
        isinstance(fit, Source)
        or measured != "test error"
        or not (is_ridge(copy.ancestors(fit)) or chain(copy, fit) is not None)
    ):
        if method not in {"auto", "free-probability"}:
            raise PipelineError(
                f'method={shown(method)} covers the test error of one ridge regression, got {_asked(tested, measured)}; use "auto"'
            )
        method = "free-probability"
    if derived is None and method in {"auto", "exact"}:
        derived = _exact(copy, fit)
    if derived is None and (method == "exact" or (method == "auto" and _short(copy, fit))):
        derived = _exact_pooled(copy, fit)
    if derived is None and method in {"auto", "operator"}:
        derived = _operator(copy, fit)
    if derived is None and method in {"auto", "free-probability"}:
        derived = _free_probability(copy, fit, test_covariance, measured)
    if derived is None:
        raise PipelineError(_not_covered(fit, method))
    return ErrorFormula(
        parts=derived.parts,
        regime=derived.regime,
        conditions=(*derived.conditions, *_domain(copy, fit)),
        references=derived.references,
        method=derived.method,
        numbers=numbers,
        pipeline=Described(pipeline),
        model=tested,
        test_covariance=test_covariance,
        measured=measured,
    )


def _asked(tested: Fit | Source, measured: str) -> str:
    return f"{measured} of {tested if isinstance(tested, Source) else tested.name}"


def _exact(pipeline: Pipeline, fit: Fit) -> ErrorFormula | None:
    if not is_least_squares(pipeline.ancestors(fit)):
        return None
    steps = increments(pipeline, fit)
    if steps is not None:
        parts, conditions = telescoped_risk(steps)
        return ErrorFormula(
            parts, "exact", conditions, ("gerstgrasser2024inevitable", "dohmatob2024regression"), "exact"
        )
    design = one_design(pipeline, fit)
    if design is not None:
        parts, conditions = one_design_risk(pipeline, fit, design.T)
        return ErrorFormula(parts, "exact", conditions, ("gerstgrasser2024inevitable", "he2025golden"), "exact")
    return None


_FEW = 6


def _short(pipeline: Pipeline, fit: Fit) -> bool:
    """Return whether the exact error of pooled fits does not double with every fit: few fits, or one labeller in each."""
    fits = pipeline.ancestors(fit)
    labellers = (
        {
            m
            for s in f.samples
            if isinstance(s.source, Source)
            for m, _ in Source.of(s.source)
            if not isinstance(m, Truth)
        }
        for f in fits
    )
    return len(fits) <= _FEW or all(len(x) <= 1 for x in labellers)


def _exact_pooled(pipeline: Pipeline, fit: Fit) -> ErrorFormula | None:
    if not is_least_squares(pipeline.ancestors(fit)) or own_inputs(pipeline, fit) is None:
        return None
    parts, conditions = own_inputs_risk(pooled_stages(pooled_system(pipeline, fit)))
    return ErrorFormula(parts, "exact", conditions, ("dohmatob2024regression", "dohmatob2024strong"), "exact")


def _operator(pipeline: Pipeline, fit: Fit) -> ErrorFormula | None:
    fits = chain(pipeline, fit)
    if fits is None:
        return _pooled(pipeline, fit)
    bias, variance = chain_scalars([_generation(f) for f in fits])
    return ErrorFormula(
        {"bias": bias, "variance": variance}, "proportional", (), ("dohmatob2024regression",), "operator"
    )


def _generation(f: Fit) -> Generation:
    """Return a fit of a chain."""
    (sample,), (weight,) = f.samples, f.weights
    features = f.features if isinstance(f.features, Expr) else None
    return Generation(sample.T, (f.ridge or S.Zero) / weight, sample.noise or S.Zero, features)


def _pooled(pipeline: Pipeline, fit: Fit) -> ErrorFormula | None:
    if own_inputs(pipeline, fit) is None:
        return None
    bias, variance = pooled_scalars(pooled_system(pipeline, fit))
    sources = ("dohmatob2024regression", "dohmatob2024strong")
    return ErrorFormula({"bias": bias, "variance": variance}, "proportional", (), sources, "operator")


def _filters(
    pipeline: Pipeline,
    model: Fit | Source,
    tested: Fit | Source,
    measured: Measured,
    test_covariance: str | None,
    method: str,
) -> ErrorFormula:
    """Return the error of a chain of filters."""
    fits = filtered_chain(pipeline, model) if isinstance(model, Fit) else None
    if fits is None or measured != "test error" or test_covariance is not None or method not in {"auto", "operator"}:
        asked = _asked(tested, measured)
        how = f"method={shown(method)}, " if method not in {"auto", "operator"} else ""
        common = "" if test_covariance is None else f", measured by {shown(test_covariance)}"
        raise PipelineError(
            "a filter is covered in a chain, the test error of fits on one sample each, with inputs of its own and the common "
            f"covariance, labelled by the fit before, got {how}the {asked}{common}; describe a chain, or fit with a ridge"
        )
    bias, variance = filter_scalars(fits)
    return ErrorFormula({"bias": bias, "variance": variance}, "proportional", (), ("ali2019early",), "operator")


def _free_probability(
    pipeline: Pipeline, model: Fit | Source, test_covariance: str | None, measured: Measured
) -> ErrorFormula:
    system = pooled_system(pipeline, model, test_covariance, measured)
    bias, variance = pipeline_scalars(system)
    equivalent = ("goldt2022gaussian", "hu2022universality") if system.feature_noises else ()
    sources = ("subramonian2025autofpt", *equivalent)
    return ErrorFormula({"bias": bias, "variance": variance}, "proportional", (), sources, "free-probability")


def _domain(pipeline: Pipeline, model: Fit | Source) -> tuple[Boolean, ...]:
    """Return the ranges of rows, noise, ridge, weights and features that the symbols' assumptions do not already grant."""
    conditions: list[Boolean] = []
    for f in pipeline.ancestors(model):
        totals: dict[Sample, Expr] = {}
        for s, a in zip(f.samples, f.weights, strict=True):
            conditions += [Gt(s.inputs.T, 0), *(Ge(x.noise or S.Zero, 0) for x in (s, *s.relabelled))]
            totals[s.inputs] = totals.get(s.inputs, S.Zero) + a
        conditions += [Ge(f.ridge or S.Zero, 0), *(Ge(a, 0) for a in totals.values())]
        if f.features is not None:
            conditions.append(Ge(f.features.m if isinstance(f.features, Features) else f.features, 1))
        conditions += [] if f.filter is None else [Gt(x, 0) for x in f.filter.parameters]
    return tuple(c for c in dict.fromkeys(conditions) if c is not S.true)


def _not_covered(fit: Fit, method: str) -> str:
    if method == "operator":
        return (
            'method="operator" covers pipelines whose samples have inputs of their own, used by one fit with equal weights, '
            f'got a pipeline that shares inputs or weights rows before {fit.name!r}; use method="auto"'
        )
    return (
        'method="exact" covers least-squares fits on independent samples of equal row weights, accumulated or on one fixed '
        "set of inputs, "
        f'got another pipeline at {fit.name!r}; use method="auto"'
    )
