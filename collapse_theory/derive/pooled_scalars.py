r"""Bias and variance of a linear pipeline as opaque scalars, for pipelines whose fits share inputs.

They are evaluated by the fixed point component by component, at a cost that does not grow with the size of the expression;
:meth:`.PipelineBias.doit` writes it out in effective ridges, traces and quadratic forms.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sympy import Add, Eq, Expr, Symbol
from sympy.printing.precedence import PRECEDENCE

from collapse_theory import symbols
from collapse_theory.algebra.integrals import QuadraticForm
from collapse_theory.algebra.opaque import Opaque
from collapse_theory.algebra.printing import matrix_name
from collapse_theory.derive.pooled import PooledSystem, Scaling, error_pencil
from collapse_theory.derive.slopes import slope
from collapse_theory.engine.closed_form import ClosedForm, implicit_values, solve_symbolic
from collapse_theory.engine.triangular import Structure, structure_of
from collapse_theory.symbols import eigenvalue_of

__all__ = ["PipelineBias", "PipelineScalar", "PipelineVariance", "pipeline_scalars"]


class PipelineScalar(Opaque):
    """Base: a scalar that the free-probability engine solves for, of the system of fits in ``args``."""

    is_nonnegative = True
    precedence = PRECEDENCE["Add"]  # as it prints

    @property
    def system(self) -> PooledSystem:
        """The pooled fits."""
        return PooledSystem.of(*self.args)

    def _derivative(self, x: Symbol) -> Expr:
        return slope(self, x)

    def _sympystr(self, printer: Any) -> str:
        del printer
        return f"{type(self).__name__}({len(self.system.fits)} fits)"

    @property
    def closed_form(self) -> ClosedForm:
        """The results behind the scalar, with the scalars in them named and defined one by one."""
        return _closed_form(self.args)

    @property
    def ridges(self) -> tuple[Expr, ...]:
        """The effective ridges of the fits, each once, in the order of the fits."""
        return _implicit(self.args)[0]

    @property
    def equations(self) -> tuple[Eq, ...]:
        """The equation of every implicit scalar that is not an effective ridge."""
        return _implicit(self.args)[1]

    def _linear_map(self, system: PooledSystem) -> str:
        raise NotImplementedError

    def _tex(self, printer: Any) -> tuple[str, str]:
        """Print one fit in closed form, several by the linear map ``P`` from coefficients and noise to the tested error."""
        return printer.doprint(self.doit()) if len(self.system.fits) == 1 else self._linear_map(self.system), ""


class PipelineBias(PipelineScalar):
    r"""The quadratic form of the true coefficients in the test error, :math:`w_0^\top P^\top\Sigma_{\rm test}P\,w_0`."""

    def _linear_map(self, system: PooledSystem) -> str:
        return rf"w_0^\top P_0^\top {matrix_name(eigenvalue_of(system.test_covariance))} P_0 w_0"

    def doit(self, **hints: Any) -> Expr:
        """Return the explicit expression; its size grows quickly with the number of fits."""
        del hints
        return QuadraticForm(self.closed_form.explicit("w0"))


class PipelineVariance(PipelineScalar):
    r"""The label noises in the test error, :math:`\sum_i\sigma_i^2\operatorname{tr}[P_i^\top\Sigma_{\rm test}P_i]`."""

    def _linear_map(self, system: PooledSystem) -> str:
        test = matrix_name(eigenvalue_of(system.test_covariance))
        return rf"\sum_i \sigma_i^2 \operatorname{{tr}}\left[P_i^\top {test} P_i\right]"

    def doit(self, **hints: Any) -> Expr:
        """Return the explicit expression; its size grows quickly with the number of fits."""
        del hints
        noises = error_pencil(self.system).noises
        return Add(*(variance * self.closed_form.explicit(name) for name, variance in noises.items()))


def pipeline_scalars(system: PooledSystem) -> tuple[Expr, Expr]:
    """Return bias and variance of a pipeline."""
    return PipelineBias(*system.args()), PipelineVariance(*system.args())


@lru_cache(maxsize=32)
def _structure(args: tuple[Any, ...]) -> tuple[Structure, dict[Expr, Expr]]:
    """Return the structure with a symbol for each ridge, and the ridges behind them.

    In the scaling by the ridge the entries are functions of the effective ridges, and have ridgeless limits.
    """
    system = PooledSystem.of(*args)
    ridges = {k: symbols.scaling("lam", k) for k in range(len(system.fits))}
    problem = error_pencil(system, {k: Scaling.vanishing(ridges[k], f) for k, f in enumerate(system.fits)})
    return structure_of(problem.pencil), {ridges[k]: f.ridge for k, f in enumerate(system.fits)}


@lru_cache(maxsize=32)
def _implicit(args: tuple[Any, ...]) -> tuple[tuple[Expr, ...], tuple[Eq, ...]]:
    """Return the effective ridges and the equations of the other implicit scalars; nothing else has to be solved."""
    structure, back = _structure(args)
    found = implicit_values(structure)[0]
    ridges = dict.fromkeys(k.xreplace(back) for k in found.ridges.values())
    return tuple(ridges), tuple(eq.xreplace(back) for eq in found.equations.values())


@lru_cache(maxsize=32)
def _closed_form(args: tuple[Any, ...]) -> ClosedForm:
    structure, back = _structure(args)
    closed = solve_symbolic(structure)
    return ClosedForm(
        {name: e.xreplace(back) for name, e in closed.results.items()},
        {x: e.xreplace(back) for x, e in closed.definitions.items()},
        {x: e.xreplace(back) for x, e in closed.ridges.items()},
        {x: e.xreplace(back) for x, e in closed.equations.items()},
    )
