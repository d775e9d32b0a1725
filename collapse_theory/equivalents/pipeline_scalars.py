r"""Bias and variance of a linear pipeline as opaque scalars, for pipelines whose fits share inputs.

They are evaluated by the fixed point component by component, at a cost that does not grow with the size of the written
out expression; :meth:`doit` writes it out in effective ridges, traces and quadratic forms.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sympy import Add, Eq, Expr

from collapse_theory import symbols
from collapse_theory.equivalents.components import structure_of
from collapse_theory.equivalents.pipeline import PooledSystem, error_pencil
from collapse_theory.equivalents.symbolic import ClosedForm, solve_symbolic
from collapse_theory.spectral.integrals import QuadraticForm

__all__ = ["PipelineBias", "PipelineScalar", "PipelineVariance", "SystemScalar", "pipeline_scalars"]


class SystemScalar(Expr):
    """Base: a scalar of the system of pooled fits in ``args``."""

    is_commutative = True
    is_extended_real = True
    is_nonnegative = True

    def __new__(cls, *system: Any) -> Expr:
        """Return the scalar of the system with these arguments, see :meth:`PooledSystem.args`."""
        return Expr.__new__(cls, *system)

    @property
    def system(self) -> PooledSystem:
        """The pooled fits."""
        return PooledSystem.of(*self.args)

    def _eval_derivative(self, x: Any) -> Expr:
        return self.doit().diff(x)

    def _sympystr(self, printer: Any) -> str:
        del printer
        return f"{type(self).__name__}({len(self.system.fits)} fits)"


class PipelineScalar(SystemScalar):
    """Base: a scalar that the free-probability engine solves for."""

    @property
    def closed_form(self) -> ClosedForm:
        """The results behind the scalar, with the scalars in them named and defined one by one."""
        return _closed_form(self.args)

    @property
    def equations(self) -> tuple[Eq, ...]:
        """The equation of every implicit scalar that is not an effective ridge."""
        return tuple(self.closed_form.equations.values())

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        body = printer.doprint(self.doit())
        return body if exp is None else rf"\left({body}\right)^{{{exp}}}"


class PipelineBias(PipelineScalar):
    r"""The quadratic form of the true coefficients in the test error, :math:`w_0^\top P^\top\Sigma_{\rm test}P\,w_0`."""

    def doit(self, **hints: Any) -> Expr:
        """Return the explicit expression; its size grows quickly with the number of fits."""
        del hints
        return QuadraticForm(self.closed_form.explicit("w0"))


class PipelineVariance(PipelineScalar):
    r"""The label noises in the test error, :math:`\sum_i\sigma_i^2\operatorname{tr}[B_i^\top\Sigma_{\rm test}B_i]`."""

    def doit(self, **hints: Any) -> Expr:
        """Return the explicit expression; its size grows quickly with the number of fits."""
        del hints
        noises = error_pencil(self.system).noises
        return Add(*(variance * self.closed_form.explicit(name) for name, variance in noises.items()))


def pipeline_scalars(system: PooledSystem) -> tuple[Expr, Expr]:
    """Return bias and variance of a pipeline."""
    return PipelineBias(*system.args()), PipelineVariance(*system.args())


@lru_cache(maxsize=32)
def _closed_form(args: tuple[Any, ...]) -> ClosedForm:
    """Solve in the scaling by the ridge: its entries are functions of the effective ridges, and have ridgeless limits."""
    system = PooledSystem.of(*args)
    ridges = {k: symbols.indexed(symbols.lam, k) for k in range(len(system.fits))}
    problem = error_pencil(system, ridges=ridges, vanishing=frozenset(ridges))
    closed = solve_symbolic(structure_of(problem.pencil))
    back = {ridges[k]: f.ridge for k, f in enumerate(system.fits)}
    return ClosedForm(
        {name: e.xreplace(back) for name, e in closed.results.items()},
        {x: e.xreplace(back) for x, e in closed.definitions.items()},
        {x: e.xreplace(back) for x, e in closed.ridges.items()},
        {x: e.xreplace(back) for x, e in closed.equations.items()},
    )
