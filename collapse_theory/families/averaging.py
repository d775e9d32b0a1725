"""Families whose fits average rows: a row law for the calculus, checks of a pipeline and the theory of its error."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from sympy import Expr, Ge, ImmutableMatrix, S, Symbol, cancel

from collapse_theory.core.arguments import choice, instance
from collapse_theory.core.errors import PipelineError, shown
from collapse_theory.core.numbers import flag
from collapse_theory.derive.family import Described, Family
from collapse_theory.derive.formula import ErrorFormula, Regime
from collapse_theory.describe.pipeline import TRUTH, Fit, Labels, OneOf, Pipeline, Sample, Truth
from collapse_theory.families.calculus import Moments, RowLaw, moments
from collapse_theory.families.token_errors import Bracket, certain

__all__ = ["Averaging", "covariances"]

_SUM_TOLERANCE = 1e-9  # float coefficients such as 0.7 + 0.2 + 0.1 miss one by a few units in the last place


class Averaging(Family):
    """A statistical model whose fits are (weighted) averages over rows, exactly or to leading order."""

    name: ClassVar[str]
    law: ClassVar[RowLaw]
    regime: ClassVar[Regime]
    references: ClassVar[tuple[str, ...]]
    convex: ClassVar[bool]
    """Whether a linear source needs non-negative coefficients (a probability distribution)."""
    measures: ClassVar[tuple[str, ...]] = ("test error",)
    """What ``ct.simulate(..., measured=)`` measures of a model, and :meth:`expected` knows the mean of."""

    @abc.abstractmethod
    def error_terms(self, pipeline: Pipeline, model: Fit) -> Mapping[str, Expr]:
        """Return the named parts of the expected error of ``model``."""

    def theory(
        self,
        pipeline: Pipeline,
        model: Fit | None = None,
        method: str = "auto",
        test_covariance: str | None = None,
    ) -> ErrorFormula:
        """Return the expected error of a fit as a derived formula; its evaluation needs no spectrum.

        Args:
            pipeline: Without noise, ridge or reused designs; numbers or symbols.
            model: The tested fit; None is the last.
            method: "auto", or "exact" for the families that are exact.
            test_covariance: None; there are no inputs.

        Raises:
            PipelineError: If the pipeline means nothing for the family, or it has no such method.
        """
        if test_covariance is not None:
            raise PipelineError(
                f"test_covariance needs linear regression, got {shown(test_covariance)} with {self.name}; omit one of them"
            )
        methods = ("auto", "exact") if self.regime == "exact" else ("auto",)
        if not isinstance(method, str) or method not in methods:
            raise PipelineError(
                f"method of {self.name} needs to be one of {', '.join(methods)}, got {shown(method)}: its theory is the "
                f"covariance calculus ({self.regime}); use 'auto'"
            )
        fit = pipeline.model(model)
        rows = dict.fromkeys(s.T for s in pipeline.samples if not s.T.is_number)
        return ErrorFormula(
            parts=self.error_terms(pipeline, fit),
            regime=self.regime,
            conditions=tuple(c for T in rows if (c := Ge(T, 1)) is not S.true),
            references=self.references,
            method="exact" if self.regime == "exact" else "calculus",
            pipeline=Described(pipeline),
            model=fit,
            family=self,
        )

    def expected(self, pipeline: Pipeline, model: Fit | None = None, measured: str = "test error") -> Bracket:
        """Return the mean of what is measured of a model: exact (of :class:`.Regular`, to leading order), or two bounds.

        Args:
            pipeline: Numeric.
            model: The tested fit; None is the last.
            measured: One of ``measures``.

        Raises:
            PipelineError: If the pipeline means nothing for the family or has free symbols, or the family has no such measure.

        >>> from collapse_theory.families.categorical import Categorical
        >>> pipe = Pipeline(); m = pipe.fit(pipe.sample(T=2))
        >>> Categorical([0.5, 0.5]).expected(pipe, m, "diversity").value
        0.25
        """
        choice(measured, "measured", self.measures)
        self.check(pipeline)
        if pipeline.free_symbols:
            names = ", ".join(sorted(map(str, pipeline.free_symbols)))
            raise PipelineError(f"expected needs numbers throughout, got free symbols {names}; substitute values")
        return self._expected(pipeline, pipeline.model(model), measured)

    def _expected(self, pipeline: Pipeline, model: Fit, measured: str) -> Bracket:
        """Return the mean of what is measured; a family with more measures than the test error has its own."""
        del measured
        return certain(float(self.theory(pipeline, model).evaluate()), f"covariance calculus, {self.regime}")

    def moments(self, pipeline: Pipeline, *, exact: bool | None = None) -> Moments:
        """Return the covariances of all fits, after checking that the family can run the pipeline."""
        self.check(pipeline)
        return moments(pipeline, self.law, exact=exact)

    def check(self, pipeline: Pipeline) -> None:
        """Raise unless every node means something for this family.

        Raises:
            PipelineError: If a node has noise, a ridge, a reused design or a covariance of its own, or if a linear
                source is not an average.
        """
        instance(pipeline, Pipeline, "pipeline", "build one with ct.Pipeline() or ct.workflows")
        for sample in pipeline.samples:
            _refuse(self.name, sample.name, noise=sample.noise, design=sample.design, covariance=sample.covariance)
            if not sample.pool:
                self._check_source(sample)
        for fit in pipeline.fits:
            _refuse(self.name, fit.name, ridge=fit.ridge, features=fit.features, filter=fit.filter)
            for a in fit.weights:
                if a.is_negative:
                    raise PipelineError(
                        f"{self.name} needs weights >= 0, got {shown(a)} at {shown(fit.name)}; leave the sample out instead"
                    )

    def _check_source(self, sample: Sample) -> None:
        if isinstance(sample.source, OneOf):
            return
        for labeller, _ in sample.source:
            if isinstance(labeller, Labels) or (isinstance(labeller, Truth) and labeller != TRUTH):
                raise PipelineError(
                    f"{self.name} takes no {labeller} as a source, got it at {shown(sample.name)}: it has one truth and no "
                    "inputs to label; use TRUTH and fits, or linear regression"
                )
        total = sum((c for _, c in sample.source), S.Zero)
        off = cancel(total - 1)
        if abs(float(off)) > _SUM_TOLERANCE if off.is_number else True:
            raise PipelineError(
                f"{self.name} needs the coefficients of a linear source to sum to 1, got {sample.source} for sample "
                f"{shown(sample.name)} (sum {total}); a source is an average of models"
            )
        if self.convex and any(c.is_negative for _, c in sample.source):
            raise PipelineError(
                f"{self.name} needs non-negative coefficients in a source, got {sample.source} for sample "
                f"{shown(sample.name)}; a mixture with negative parts is not a distribution"
            )


_WHY = {
    "noise": "its rows have no label noise besides the draw itself",
    "ridge": "its fit is maximum likelihood",
    "design": "its rows have no inputs to reuse",
    "covariance": "its rows have no inputs",
    "features": "its rows have no inputs",
    "filter": "its fit is maximum likelihood",
}


def _refuse(family: str, node: str, **given: Any) -> None:
    for argument, value in given.items():
        if value is not None:
            raise PipelineError(
                f"{family} takes no {argument}, got {argument}={shown(value)} at {shown(node)}: {_WHY[argument]}; "
                f"omit {argument}, or use linear regression"
            )


def covariances(pipeline: Pipeline, family: Averaging, *, exact: bool | None = None) -> np.ndarray | ImmutableMatrix:
    r"""Return the matrix ``c_ab`` of covariances of all fits, in units of the shape of one row.

    ``Cov(theta_a, theta_b) = c_ab * shape`` with shape ``diag(p) - p p^T`` (Categorical), the covariance (Gaussian), or
    the inverse Fisher information (Regular, leading order); so one fit on ``T`` fresh real rows has ``c = 1/T``.

    Args:
        pipeline: Without noise, ridge or reused designs; numbers or symbols.
        family: ``ct.Categorical(p)``, ``ct.Gaussian()`` or ``ct.Regular()``.
        exact: Exact expressions (True) or float64 (False). None: exact if a symbol is free or if the pipeline is small
            and its numbers are rational.

    Raises:
        PipelineError: If the pipeline means nothing for the family.

    >>> from collapse_theory.families.gaussian import Gaussian
    >>> from collapse_theory.describe import workflows
    >>> from collapse_theory.describe.pipeline import Stage
    >>> covariances(workflows.replace(1, Stage(T=2), Stage(T=2)), Gaussian())
    Matrix([
    [1/2, 1/2],
    [1/2, 3/4]])
    """
    if not isinstance(family, Averaging):
        raise PipelineError(
            f"covariances needs a family other than linear regression, got {shown(family)}; "
            "pass ct.Categorical(p), ct.Gaussian() or ct.Regular()"
        )
    instance(pipeline, Pipeline, "pipeline", "build one with ct.Pipeline() or ct.workflows")
    if exact is not None:
        flag(exact, "exact")
    if exact is False and pipeline.free_symbols:
        names = ", ".join(sorted(s.name for s in pipeline.free_symbols if isinstance(s, Symbol)))
        raise PipelineError(f"exact=False needs numbers throughout, got free symbols {names}; omit exact")
    return family.moments(pipeline, exact=exact).covariances
