"""Linear regression as a family of models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from collapse_theory.derive.family import Family
from collapse_theory.derive.formula import ErrorFormula
from collapse_theory.derive.regression import excess_risk
from collapse_theory.describe.pipeline import Fit, Pipeline
from collapse_theory.simulate.regression_trial import linear_trial
from collapse_theory.simulate.trial import Setting, Trial

__all__ = ["Linear"]


@dataclass(frozen=True)
class Linear(Family):
    """Ridge regression on Gaussian inputs; the test error is the excess risk ``||w_hat - w0||_Sigma^2``.

    It is what ``ct.test_error`` and ``ct.simulate`` mean where no family is given.

    >>> from collapse_theory.describe import workflows
    >>> from collapse_theory.describe.pipeline import Stage
    >>> Linear().theory(workflows.replace(1, Stage(T=90, noise=0.4), Stage(T=80, noise=0.5))).regime
    'exact'
    """

    quantity: ClassVar[str] = r"expected excess risk $E=\mathbb{E}\|\hat w-w_0\|_\Sigma^2$"

    def theory(
        self,
        pipeline: Pipeline,
        model: Fit | None = None,
        method: str = "auto",
        test_covariance: str | None = None,
    ) -> ErrorFormula:
        """Return the excess risk of ``model`` as a derived formula; see :func:`~collapse_theory.derive.regression.excess_risk`."""
        return excess_risk(pipeline, model, method, test_covariance)

    def trial(self, pipeline: Pipeline, model: Fit, setting: Setting) -> Trial:
        """Return one simulated run of the pipeline on Gaussian rows, real rows or a kernel."""
        return linear_trial(pipeline, model, setting)
