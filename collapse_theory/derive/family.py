"""What a family of models is: the theory of a pipeline, and its simulation."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from collapse_theory.derive.formula import ErrorFormula
from collapse_theory.describe.pipeline import Fit, Pipeline

if TYPE_CHECKING:
    from collapse_theory.simulate.trial import Setting, Trial

__all__ = ["Described", "Family"]


class Family(abc.ABC):
    """A statistical model of rows and fits: what a pipeline means for it, as theory and as simulation."""

    quantity: ClassVar[str]
    """What the test error is, in words with LaTeX, for statements."""

    @abc.abstractmethod
    def theory(
        self,
        pipeline: Pipeline,
        model: Fit | None = None,
        method: str = "auto",
        test_covariance: str | None = None,
    ) -> ErrorFormula:
        """Return the test error of a fit as a derived formula.

        Args:
            pipeline: The training procedure.
            model: The tested fit; None is the last.
            method: The derivation, or "auto" for the strongest that applies.
            test_covariance: Name of the covariance of the test inputs, for families with inputs; None is the common one.

        Raises:
            PipelineError: If the pipeline means nothing for the family, or no derivation covers it.
        """

    @abc.abstractmethod
    def trial(self, pipeline: Pipeline, model: Fit, setting: Setting) -> Trial:
        """Return a picklable function of a generator: one simulated run and the error of ``model``."""


@dataclass(frozen=True)
class Described:
    """The pipeline that a formula describes, as the picklable function that a formula holds."""

    pipeline: Pipeline

    def __call__(self) -> Pipeline:
        """Return it."""
        return self.pipeline
