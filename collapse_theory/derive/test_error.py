"""The way in to every derivation."""

from __future__ import annotations

from typing import Any

from collapse_theory.core.arguments import instance, word
from collapse_theory.core.errors import PipelineError, shown
from collapse_theory.derive.formula import ErrorFormula
from collapse_theory.derive.regression import excess_risk
from collapse_theory.describe.pipeline import Fit, Pipeline, Source

__all__ = ["test_error"]


def test_error(
    pipeline: Pipeline,
    model: Fit | Source | None = None,  # noqa: PT028 - a verb of the field, not a pytest function
    family: Any = None,  # noqa: PT028
    method: str = "auto",  # noqa: PT028
    test_covariance: str | None = None,  # noqa: PT028
) -> ErrorFormula:
    r"""Return the test error of a fit as a derived formula.

    For linear regression it is the excess risk :math:`\|\hat w-w_0\|_\Sigma^2`, without the label noise of the test point.

    Args:
        pipeline: The training procedure.
        model: The tested fit, or for linear regression a combination of fits and the truth (an ensemble, or the difference of
            two models); default the last fit.
        family: The family of models; default linear regression, ``ct.Linear()``.
        method: "auto" picks the strongest derivation that applies; "exact" (least squares), "operator" (inputs used by one
            fit each) and "free-probability" (every linear pipeline) ask for one. Least squares that pools several labellers
            is exact when asked for; "auto" takes the operator there, which holds for any number of rows.
        test_covariance: Name of the covariance of the test inputs (covariate shift), for linear regression; None is the
            covariance of the samples that name none.

    Raises:
        PipelineError: If no derivation, or not the one asked for, covers the pipeline.

    >>> import collapse_theory as ct
    >>> pipe = ct.workflows.replace(1, ct.Stage(T=90, noise=0.4), ct.Stage(T=80, noise=0.5))
    >>> err = ct.test_error(pipe)
    >>> err.regime, round(err.evaluate(spectrum=ct.Isotropic(50)), 12) == round(0.25 * 50 / 29 + 0.16 * 50 / 39, 12)
    ('exact', True)
    """
    instance(pipeline, Pipeline, "pipeline", "build one with ct.Pipeline() or ct.workflows")
    if test_covariance is not None:
        word(test_covariance, "test_covariance")
    if family is not None:
        if isinstance(family, type) or not hasattr(family, "theory"):
            raise PipelineError(
                f"family needs to be a family of models, got {shown(family)}; for example ct.Categorical(p), ct.Gaussian() or "
                "ct.Regular()"
            )
        derived: ErrorFormula = family.theory(pipeline, model, method, test_covariance)
        return derived
    return excess_risk(pipeline, model, method, test_covariance)


test_error.__test__ = False  # type: ignore[attr-defined]  # pytest would collect it by its name
