r"""Regular parametric models, to leading order in 1/T: fits are averages of earlier fits plus fresh noise of variance 1/T.

The maximum-likelihood fit on pooled rows solves ``sum_i alpha_i E_i[score] = 0``; linearised at the truth, it is
``theta_k = sum_i alpha_ki (theta_source(i) + xi_i)`` with ``Cov xi_i = I^{-1}/T_i``, ``I`` the Fisher information of one row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from sympy import S

from collapse_theory.describe.pipeline import Fit, Pipeline
from collapse_theory.errors import PipelineError
from collapse_theory.families.calculus import RowLaw
from collapse_theory.families.protocol import Family, Theory
from collapse_theory.families.sampling import RegularModel, regular_trial

__all__ = ["Regular"]


@dataclass(frozen=True)
class Regular(Family):
    """Any regular parametric model.

    Args:
        model: Sampler, fitter, truth and information (:class:`~collapse_theory.families.sampling.RegularModel`), for
            simulation; the theory does not depend on it.

    >>> from collapse_theory.describe import workflows
    >>> from collapse_theory.describe.pipeline import Stage
    >>> pipe = workflows.accumulate(3, Stage(T=100))
    >>> Regular().theory(pipe, pipe.model()).terms["variance"]
    49/36
    """

    model: RegularModel | None = None

    name: ClassVar[str] = "Regular"
    law: ClassVar[RowLaw] = RowLaw.CONSTANT
    convex: ClassVar[bool] = False

    def theory(self, pipeline: Pipeline, model: Fit) -> Theory:
        """Return ``T_1 c``: the asymptotic variance relative to one fit on the rows of the first sample."""
        moments = self.moments(pipeline)
        relative = S(moments.covariances[model.index, model.index]) * pipeline.samples[0].T
        return Theory(
            {"bias": S.Zero, "variance": relative.cancel() if moments.exact else relative},
            "leading order",
            (),
            ("gerstgrasser2024", "dey2024", "he2025"),
        )

    def trial(self, pipeline: Pipeline, model: Fit) -> Callable[[np.random.Generator], float]:
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
        return regular_trial(pipeline, model, self.model, int(pipeline.samples[0].T))
