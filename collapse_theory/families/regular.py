r"""Regular parametric models, to leading order in 1/T: a fit averages earlier fits plus fresh noise of variance 1/T.

The maximum-likelihood fit on pooled rows solves ``sum_i alpha_i E_i[score] = 0``; linearised at the truth, it is
``theta_k = sum_i alpha_ki (theta_source(i) + xi_i)`` with ``Cov xi_i = I^{-1}/T_i``, ``I`` the Fisher information of
one row.

Source: the linearised score equation, van der Vaart, Asymptotic Statistics, 1998, ch. 5; Dey, Donoho 2024 (accumulate).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from sympy import Expr, S

from collapse_theory.core.errors import DomainError, PipelineError, shown
from collapse_theory.derive.formula import Regime
from collapse_theory.describe.pipeline import Fit, Pipeline
from collapse_theory.families.averaging import Averaging
from collapse_theory.families.calculus import RowLaw
from collapse_theory.families.sampling import RegularModel, RegularSampler, Run, numeric
from collapse_theory.simulate.trial import Setting, Trial

__all__ = ["Regular"]

_NEEDED = ("truth", "information", "sample", "fit")


@dataclass(frozen=True)
class Regular(Averaging):
    """Any regular parametric model.

    Args:
        model: Sampler, fitter, truth and information (:class:`~collapse_theory.families.sampling.RegularModel`), for
            simulation; the theory does not depend on it.

    Raises:
        DomainError: If ``model`` lacks one of them.

    >>> from collapse_theory.describe import workflows
    >>> from collapse_theory.describe.pipeline import Stage
    >>> pipe = workflows.accumulate(3, Stage(T=100))
    >>> Regular().theory(pipe).terms["variance"]
    49/36
    """

    model: RegularModel | None = None

    name: ClassVar[str] = "Regular"
    quantity: ClassVar[str] = r"asymptotic variance $E$ relative to one fit on the rows of the first sample"
    law: ClassVar[RowLaw] = RowLaw.CONSTANT
    regime: ClassVar[Regime] = "leading order"
    references: ClassVar[tuple[str, ...]] = ("gerstgrasser2024inevitable", "dey2024universality", "he2025golden")
    convex: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Check that the model has what a simulation needs."""
        missing = [] if self.model is None else [a for a in _NEEDED if not hasattr(self.model, a)]
        if missing:
            raise DomainError(
                f"model needs truth, information, sample and fit, got {shown(self.model)} without {', '.join(missing)}; "
                "write a class with them, or use one of collapse_theory.families.models"
            )

    def error_terms(self, pipeline: Pipeline, model: Fit) -> Mapping[str, Expr]:
        """Return ``T_1 c``: the asymptotic variance relative to one fit on the rows of the first sample."""
        moments = self.moments(pipeline)
        relative = S(moments.covariances[model.index, model.index]) * pipeline.samples[0].T
        return {"bias": S.Zero, "variance": relative.cancel() if moments.exact else relative}

    def trial(self, pipeline: Pipeline, model: Fit, setting: Setting) -> Trial:
        """Return one simulated ``T_1 (theta_hat - theta)^T I (theta_hat - theta)/q`` as a function of the generator.

        Raises:
            PipelineError: If no model was given.
        """
        self.check(pipeline)
        if self.model is None:
            raise PipelineError(
                "Regular needs a model with sample, fit, truth and information to simulate, got None; "
                "pass ct.Regular(model), for example collapse_theory.families.models.LogisticRegression([1.0])"
            )
        values = numeric(pipeline, setting)
        return Run(values, model.index, RegularSampler(self.model), scale=float(values.samples[0].T))
