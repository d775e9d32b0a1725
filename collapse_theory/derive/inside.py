r"""What is seen from inside a recursion: training error, cross-validation, the distance between models.

A fit on inputs of its own, labelled by :math:`w_{\rm lab}` with noise :math:`\sigma`, has

.. math:: D=\mathbb E\|\hat w-w_{\rm lab}\|_\Sigma^2+\sigma^2,\qquad
   \text{training error}\simeq\Big(\frac\lambda\kappa\Big)^2D,\qquad\text{generalised cross-validation}\simeq D :

whoever sees only the synthetic labels estimates the distance to the *labeller*, never to the truth. Where inputs are reused,
residuals and labels depend on each other, and cross-validation misses even :math:`D`. All three are derived by the recursion over
the fits (:mod:`.cavity`), like the test error.

Source: Golub, Heath, Wahba, Generalized cross-validation as a method for choosing a good ridge parameter, Technometrics 1979.
"""

from __future__ import annotations

from collapse_theory.core.arguments import instance, word
from collapse_theory.core.errors import PipelineError, shown
from collapse_theory.derive.formula import ErrorFormula
from collapse_theory.derive.regression import excess_risk
from collapse_theory.describe.pipeline import TRUTH, Fit, Pipeline

__all__ = ["distance", "gcv", "training_error"]


def training_error(pipeline: Pipeline, model: Fit | None = None) -> ErrorFormula:
    r"""Return the mean squared residual of a fit on its own labels, :math:`\frac1N\sum_ia_i\|y_i-X_i\hat w\|^2`.

    Args:
        pipeline: A linear pipeline.
        model: The fit; default the last.

    Raises:
        PipelineError: If the pipeline is not covered.

    >>> import collapse_theory as ct
    >>> pipe = ct.Pipeline()
    >>> m = pipe.fit(pipe.sample(T=100, noise=1))
    >>> round(training_error(pipe, m).evaluate(spectrum=ct.Isotropic(50), target=ct.RandomTarget()), 12)  # sigma^2 (1 - d/T)
    0.5
    """
    return excess_risk(_checked(pipeline), pipeline.model(model), measured="training error")


def gcv(pipeline: Pipeline, model: Fit | None = None) -> ErrorFormula:
    r"""Return what generalised cross-validation of a fit estimates: its training error over :math:`(1-\mathrm{df}/N)^2`.

    :math:`\mathrm{df}=\operatorname{tr}S(S+\lambda)^{-1}` are the degrees of freedom of the fit. Where a fit without a ridge
    interpolates its labels, it is the limit of a small ridge.

    Args:
        pipeline: A linear pipeline.
        model: The fit; default the last.

    Raises:
        PipelineError: If the pipeline is not covered.

    >>> import collapse_theory as ct
    >>> pipe = ct.Pipeline()
    >>> m = pipe.fit(pipe.sample(T=100, noise=1))
    >>> round(gcv(pipe, m).evaluate(spectrum=ct.Isotropic(50), target=ct.RandomTarget()), 12)  # sigma^2 / (1 - d/T)
    2.0
    """
    return excess_risk(_checked(pipeline), pipeline.model(model), measured="cross-validation")


def distance(pipeline: Pipeline, first: Fit, second: Fit, test_covariance: str | None = None) -> ErrorFormula:
    r"""Return the squared distance of two fits, :math:`\mathbb E\|\hat w_1-\hat w_2\|_\Sigma^2`.

    Args:
        pipeline: A linear pipeline.
        first: A fit.
        second: Another one.
        test_covariance: Name of the covariance that measures it; None is the common one.

    Raises:
        PipelineError: If the pipeline is not covered, or both fits are the same.

    >>> import collapse_theory as ct
    >>> pipe = ct.Pipeline()
    >>> a, b = (pipe.fit(pipe.sample(T=100, noise=1)) for _ in range(2))
    >>> round(distance(pipe, a, b).evaluate(spectrum=ct.Isotropic(50), target=ct.RandomTarget()), 12)
    2.0
    """
    _checked(pipeline)
    if test_covariance is not None:
        word(test_covariance, "test_covariance")
    a, b = pipeline.model(first), pipeline.model(second)
    if a == b:
        raise PipelineError(f"second needs to be another fit than first, got {shown(a.name)} twice; pass two fits")
    return excess_risk(pipeline, TRUTH + a - b, test_covariance=test_covariance)


def _checked(pipeline: Pipeline) -> Pipeline:
    instance(pipeline, Pipeline, "pipeline", "build one with ct.Pipeline() or ct.workflows")
    return pipeline
