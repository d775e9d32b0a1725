r"""Spectral filters: how long a fit is trained instead of how much it is penalised.

A fit :math:`\hat w=h(S)X^\top y/T` with the sample covariance :math:`S` learns the share :math:`f(x)=xh(x)` of a direction of
eigenvalue :math:`x`. Ridge regression has :math:`f(x)=x/(x+\lambda)`; gradient descent from zero, stopped early, the filters here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import ClassVar

from sympy import Expr, exp

from collapse_theory.core.errors import PipelineError
from collapse_theory.core.numbers import Scalar, real, show

__all__ = ["Filter", "GradientDescent", "GradientFlow"]


@dataclass(frozen=True)
class Filter:
    """Base of the spectral filters."""

    kind: ClassVar[str]
    """What files call it."""

    @property
    def parameters(self) -> tuple[Expr, ...]:
        """Its parameters, in the order of the call."""
        raise NotImplementedError

    def learned(self, x: Expr) -> Expr:
        """Return the share ``f(x)`` of a direction of eigenvalue ``x`` that it learns."""
        raise NotImplementedError

    def text(self, formula: Callable[[Expr], str]) -> str:
        """Return the filter as pipeline files write it, with parameters as formulas."""
        names = (x.name for x in fields(self))
        values = ",".join(f"{name}={formula(e)}" for name, e in zip(names, self.parameters, strict=True))
        return f"{self.kind}:{values}"

    def mapped(self, change: Callable[[Expr, str], Expr]) -> Filter:
        """Return the filter with every parameter replaced, by its value and its name."""
        names = (x.name for x in fields(self))
        return type(self)(*(change(e, name) for e, name in zip(self.parameters, names, strict=True)))


@dataclass(frozen=True, repr=False)
class GradientFlow(Filter):
    r"""Gradient flow on half the mean squared error, from zero for a time :math:`t`: :math:`f(x)=1-e^{-tx}`.

    Args:
        time: :math:`t>0`, in units of one over an eigenvalue.

    Raises:
        PipelineError: If the time is not positive.

    Source: Ali, Kolter, Tibshirani, A continuous-time view of early stopping for least squares, AISTATS 2019.

    >>> GradientFlow(time=8)
    GradientFlow(time=8)
    """

    kind: ClassVar[str] = "flow"
    time: Scalar

    def __post_init__(self) -> None:
        """Check the range."""
        object.__setattr__(self, "time", real(self.time, "time", positive=True, error=PipelineError))

    @property
    def parameters(self) -> tuple[Expr, ...]:
        """The time."""
        return (self.time,)

    def learned(self, x: Expr) -> Expr:
        """Return ``1 - exp(-t x)``."""
        return 1 - exp(-self.time * x)

    def __repr__(self) -> str:
        return f"GradientFlow(time={show(self.parameters[0])})"


@dataclass(frozen=True, repr=False)
class GradientDescent(Filter):
    r"""Gradient descent on half the mean squared error, ``k`` steps of size :math:`\eta` from zero: :math:`f(x)=1-(1-\eta x)^k`.

    Args:
        step: :math:`\eta>0`; it diverges beyond two over the largest eigenvalue of the sample covariance.
        steps: :math:`k`, a positive integer.

    Raises:
        PipelineError: If a value is out of range.

    >>> GradientDescent(step=0.1, steps=50)
    GradientDescent(step=0.1, steps=50)
    """

    kind: ClassVar[str] = "descent"
    step: Scalar
    steps: Scalar

    def __post_init__(self) -> None:
        """Check the ranges."""
        object.__setattr__(self, "step", real(self.step, "step", positive=True, error=PipelineError))
        object.__setattr__(self, "steps", real(self.steps, "steps", positive=True, integer=True, error=PipelineError))

    @property
    def parameters(self) -> tuple[Expr, ...]:
        """Step size and number of steps."""
        return (self.step, self.steps)

    def learned(self, x: Expr) -> Expr:
        """Return ``1 - (1 - step x)**steps``."""
        return 1 - (1 - self.step * x) ** self.steps

    def __repr__(self) -> str:
        step, steps = map(show, self.parameters)
        return f"GradientDescent(step={step}, steps={steps})"
